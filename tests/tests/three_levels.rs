//! Wholesale, an area and three substations as processes, over OPC UA: exchanges rest on awards, both
//! ledgers of each link end with the same hashes, a substation whose area dies goes on by itself, and what it
//! could not say is said when the area is back.

use std::time::Duration;

use busbar_tests::{area::AreaStack, http::Client, stack::wait};
use serde_json::Value;

/// Port of the area's web interface; the others follow it.
const PORT: u16 = 18_700;

fn settled(area: &Client) -> Vec<Value> {
    let view = area.json("/api/v1/area").unwrap_or_default();
    let all = view["intervals"].as_array().cloned().unwrap_or_default();
    all.into_iter()
        .filter(|of| of["phase"] == "settled")
        .collect()
}

fn deal<'v>(interval: &'v Value, tenant: &str) -> &'v Value {
    let deals = interval["deals"].as_array().expect("deals");
    let found = deals.iter().find(|of| of["tenant"] == tenant);
    found.expect("a deal of each tenant")
}

#[test]
fn three_levels_clear_together_and_survive_apart() {
    let bin = busbar_tests::stack::binaries().unwrap();
    let dir = bin
        .join("busbar-stacks")
        .join(format!("three-levels-{}", std::process::id()));
    let mut stack = AreaStack::start(dir, bin, PORT).unwrap();
    let area = stack.login().unwrap();

    let by_award = |interval: &Value| {
        ["north", "south", "west"]
            .iter()
            .all(|of| deal(interval, of)["basis"] == "award")
    };
    let all = wait(Duration::from_secs(300), || {
        settled(&area).iter().any(by_award)
    });
    assert!(
        all,
        "no interval rests on awards: {:#}",
        area.json("/api/v1/area").unwrap()
    );

    stack.kill_area().unwrap();
    std::thread::sleep(Duration::from_secs(45));
    stack.start_area().unwrap();
    let area = stack.login().unwrap();
    // An interval that nobody above saw begin: each closed it by its fallback, and said so afterwards.
    let apart = |interval: &Value| deal(interval, "north")["basis"] == "last_award";
    let back = wait(Duration::from_secs(300), || {
        let all = settled(&area);
        all.iter().any(apart) && all.first().is_some_and(by_award)
    });
    assert!(back, "{:#}", area.json("/api/v1/area").unwrap());

    let mut compared = 0;
    let intervals = settled(&area);
    for (name, substation) in &stack.substations {
        let view = substation
            .login()
            .unwrap()
            .json("/api/v1/market/above")
            .unwrap();
        for theirs in view["intervals"].as_array().unwrap() {
            let ours = intervals.iter().find(|of| of["start"] == theirs["start"]);
            let Some(hash) = ours.and_then(|of| deal(of, name)["hash"].as_str()) else {
                continue;
            };
            assert_eq!(theirs["hash"], hash, "{name}, {}", theirs["start"]);
            compared += 1;
        }
    }
    assert!(compared >= 6, "{compared}");
    stack.all_run().unwrap();
    stack.stop().unwrap();
    let moments = |key: &str| {
        let all = intervals.iter().filter_map(|of| of[key].as_str());
        all.map(str::to_owned)
            .collect::<std::collections::BTreeSet<_>>()
    };
    let (from, to) = (moments("start"), moments("end"));
    // Killed in between or not, the aggregator is settled once.
    let invoice = stack.aggregated(from.first().unwrap(), to.last().unwrap());
    println!("{}", invoice.unwrap());
    for level in ["area", "north", "south", "west"] {
        let state = stack.dir.join(level).join("state");
        let state = state.to_str().unwrap();
        stack
            .busbar(&["ledger", "verify", "--state", state], None)
            .unwrap();
        stack.busbar(&["replay", "--state", state], None).unwrap();
    }
}
