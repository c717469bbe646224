//! The event stream.

use std::{collections::BTreeMap, sync::Arc};

use axum::body::Body;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    appliance::Appliance,
    client::{Client, PATIENCE},
    shown::{interval, point},
};

const ALL: [&str; 9] = [
    "status",
    "devices",
    "network_state",
    "points",
    "intervals",
    "orders",
    "dispatch",
    "holds",
    "alarms",
];

struct Stream {
    body: Body,
    text: String,
}

impl Stream {
    async fn open(client: &Client) -> Self {
        let answer = client.open("GET", "/api/v1/events", &[], "").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            body: Body::new(answer.into_body()),
            text: String::new(),
        }
    }

    /// The next event; `None` when the server has ended the stream.
    async fn next(&mut self) -> Option<(String, Value)> {
        let event = timeout(PATIENCE, self.read()).await;
        event.expect("no event in time")
    }

    async fn read(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let (name, data) = (field("event: "), field("data: "));
                let event = name
                    .zip(data)
                    .map(|(name, data)| (name.to_owned(), serde_json::from_str(data).unwrap()));
                self.text = rest.to_owned();
                match event {
                    // A comment that keeps the connection alive.
                    None => continue,
                    event => return event,
                }
            }
            let frame = self.body.frame().await?;
            let data = frame.ok()?.into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    async fn several(&mut self, number: usize) -> BTreeMap<String, Value> {
        let mut events = BTreeMap::new();
        for _ in 0..number {
            let (name, data) = self.next().await.expect("the stream ended");
            events.insert(name, data);
        }
        events
    }
}

#[tokio::test]
async fn everything_comes_first_then_what_changed() {
    let appliance = Appliance::enrolled("stream").await;
    let mut stream = Stream::open(&appliance.client).await;
    let first = stream.several(ALL.len()).await;
    for (name, path) in ALL.iter().zip([
        "status",
        "devices",
        "network/state",
        "points",
        "market/intervals",
        "market/orders",
        "dispatch",
        "holds",
        "alarms",
    ]) {
        let read = appliance
            .client
            .get(&format!("/api/v1/{path}"))
            .await
            .json();
        assert_eq!(first[*name], read, "{name}");
    }

    appliance.change(|now| {
        let points = Arc::make_mut(&mut now.points);
        points[1] = point("pv3/q", 20.0);
        let intervals = Arc::make_mut(&mut now.intervals);
        intervals.pop();
        intervals.insert(0, Arc::new(interval("2026-06-21T12:00:10Z", "open")));
    });
    let changed = stream.several(2).await;
    let points = changed["points"].as_array().unwrap();
    assert_eq!(points.len(), 1);
    assert_eq!(points[0]["value"], 20.0);
    assert_eq!(changed["intervals"].as_array().unwrap().len(), 1);
    assert_eq!(changed["intervals"][0]["start"], "2026-06-21T12:00:10Z");

    // A part replaced by an equal one is no change.
    appliance.change(|now| now.points = Arc::new(now.points.to_vec()));
    appliance.change(|now| now.alarms = Arc::new(vec![]));
    let (name, data) = stream.next().await.unwrap();
    assert_eq!((&*name, data), ("alarms", Value::Array(vec![])));
}

#[tokio::test]
async fn a_client_that_comes_back_gets_everything_again() {
    let appliance = Appliance::enrolled("again").await;
    let mut stream = Stream::open(&appliance.client).await;
    stream.several(ALL.len()).await;
    drop(stream);
    appliance.change(|now| Arc::make_mut(&mut now.points)[0] = point("pv3/p", 7.0));
    let mut stream = Stream::open(&appliance.client).await;
    let all = stream.several(ALL.len()).await;
    assert_eq!(all["points"].as_array().unwrap().len(), 3);
    assert_eq!(all["points"][0]["value"], 7.0);
}

/// Ten thousand changes while the client does not look cost it nothing but the latest.
#[tokio::test]
async fn a_slow_client_gets_the_latest() {
    let appliance = Appliance::enrolled("slow").await;
    let mut stream = Stream::open(&appliance.client).await;
    stream.several(ALL.len()).await;
    for i in 1..=10_000 {
        let value = point("pv3/p", f64::from(i));
        appliance.change(|now| Arc::make_mut(&mut now.points)[0] = value);
    }
    let mut received = 0;
    loop {
        let (name, data) = stream.next().await.unwrap();
        assert_eq!(name, "points");
        received += 1;
        if data[0]["value"] == 10_000.0 {
            break;
        }
    }
    assert!(received < 10_000, "{received} events");
}

#[tokio::test]
async fn it_ends_with_the_session_and_with_the_server() {
    let mut appliance = Appliance::enrolled("ends").await;
    appliance.viewer().await;
    let mut viewer = Client::new(appliance.client.server);
    let login = super::appliance::login("bob", super::appliance::PASSWORD);
    let answer = viewer.post("/api/v1/login", &login).await;
    viewer.keep(&answer);
    let mut mine = Stream::open(&viewer).await;
    let mut other = Stream::open(&appliance.client).await;
    mine.several(ALL.len()).await;
    other.several(ALL.len()).await;
    viewer.send("POST", "/api/v1/logout", &[], "").await;
    appliance.change(|now| now.alarms = Arc::new(vec![]));
    assert!(mine.next().await.is_none(), "nothing after logout");
    assert!(other.next().await.is_some());
    viewer
        .get("/api/v1/events")
        .await
        .refused(401, "not_logged_in");

    appliance.stopped().await;
    assert!(other.next().await.is_none());
}

#[tokio::test]
async fn the_number_of_streams_is_bounded() {
    let appliance = Appliance::enrolled("streams").await;
    let mut streams = vec![];
    for _ in 0..64 {
        streams.push(Stream::open(&appliance.client).await);
    }
    let refused = appliance.client.get("/api/v1/events").await;
    refused.refused(503, "too_many_streams");
    assert_eq!(appliance.client.get("/api/v1/status").await.status, 200);
}
