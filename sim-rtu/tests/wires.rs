//! The simulated devices over real sockets, read and commanded by the appliance's own clients.

mod common;

use std::{fs, time::Duration};

use common::{PATIENCE, Stand, noon};
use protocols::point::{Action, ActivePower, CommandStatus, DerFallback, DerSetpoint, Value};
use sim_rtu::devices::rtu::Profile;
use tokio::time::{sleep, timeout};

fn lease(p: ActivePower, q_var: f64, fallback: ActivePower, seconds: u64) -> Action {
    Action::Der(DerSetpoint {
        p,
        q_var,
        lease: Duration::from_secs(seconds),
        ramp_w_per_s: None,
        fallback: DerFallback {
            p: fallback,
            q_var: 0.0,
        },
    })
}

#[tokio::test]
async fn a_der_is_discovered_obeys_and_falls_back_by_itself() {
    let stand = noon().await;
    // Wind, 7.5 MW, model 704.
    let mut wind = stand.sunspec(15_101);
    wind.until_value("p", |p| (p - 7.5e6).abs() < 0.05 * 7.5e6)
        .await;
    assert!((wind.value("u") / 20e3 - 1.1087).abs() < 0.02);
    assert_eq!(wind.value("controlled"), 0.0);

    let (limit, fallback) = (ActivePower::Limit(4.5e6), ActivePower::Limit(3e6));
    let order = lease(limit, -1.2e6, fallback, 5);
    assert_eq!(wind.command("control", order).await, CommandStatus::Done);
    let unit = stand.until_unit(101, |u| u["controlled"] == true).await;
    assert_eq!(unit["limit_w"], 4.5e6);
    assert_eq!(unit["q_set_var"], -1.2e6);
    assert!(unit["lease_left_s"].as_f64().unwrap() <= 5.0);

    // Nobody renews: the device is at its fallback, and says so to whoever asks.
    let unit = stand.until_unit(101, |u| u["controlled"] == false).await;
    assert_eq!(unit["limit_w"], 3e6);
    assert_eq!(unit["q_set_var"], 0.0);
    stand.until_unit(101, |u| u["p_w"] == 3e6).await;
    wind.until_value("p_limit", |p| p == 3e6).await;
    wind.until_value("p", |p| (p - 3e6).abs() < 0.1e6).await;
}

#[tokio::test]
async fn batteries_and_a_basic_inverter_take_their_own_kinds_of_orders() {
    let stand = noon().await;
    for (unit, port) in [(106, 15_106), (107, 15_107)] {
        let mut battery = stand.sunspec(port);
        battery
            .until_value("soc", |soc| (soc - 0.6).abs() < 0.01)
            .await;
        let order = lease(ActivePower::Set(150e3), 0.0, ActivePower::Set(0.0), 30);
        assert_eq!(battery.command("control", order).await, CommandStatus::Done);
        stand.until_unit(unit, |u| u["p_w"] == 150e3).await;
    }
    // PV 4 has model 123 only: it can be limited, and reverts to no limit.
    let mut pv = stand.sunspec(15_094);
    pv.poll().await;
    let (half, none) = (ActivePower::Limit(50e3), ActivePower::Limit(100e3));
    let order = lease(half, 12.1e3, none, 3);
    assert_eq!(pv.command("control", order).await, CommandStatus::Done);
    stand.until_unit(94, |u| u["p_w"] == 50e3).await;
    let order = lease(half, 12.1e3, none, 20);
    assert_eq!(pv.command("control", order).await, CommandStatus::Done);
    // A quarter of its rating.
    stand.until_unit(94, |u| u["q_var"] == 12.1e3).await;
    let order = lease(half, 12.1e3, none, 3);
    assert_eq!(pv.command("control", order).await, CommandStatus::Done);
    let unit = stand.until_unit(94, |u| u["controlled"] == false).await;
    assert!(unit["limit_w"].is_null(), "{unit}");
}

#[tokio::test]
async fn both_batteries_are_on_a_line_and_gone_with_it() {
    let stand = noon().await;
    let line = stand.line("batteries");
    let [mut five, mut ten] = [5, 10].map(|unit| stand.sunspec_on(&line, unit));
    // What each does when nobody commands it.
    five.until_value("p", |p| (p + 600e3).abs() < 30e3).await;
    ten.until_value("p", |p| (p + 200e3).abs() < 10e3).await;
    let order = lease(ActivePower::Set(-50e3), 0.0, ActivePower::Set(0.0), 20);
    assert_eq!(ten.command("control", order).await, CommandStatus::Done);
    stand.until_unit(107, |u| u["p_w"] == -50e3).await;
    let id = stand.fault(r#"{"device": "bat5", "kind": "gone"}"#).await;
    five.until_offline().await;
    ten.poll().await;
    let (status, _) = stand.http("DELETE", &format!("/faults/{id}"), "").await;
    assert_eq!(status, 204);
    five.until_online().await;
    let port = stand.port_of("batteries");
    assert!(fs::exists(&port).unwrap());
    drop(stand);
    // The control interface's last connection may hold the station a moment longer.
    let gone = async {
        while fs::symlink_metadata(&port).is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let gone = timeout(PATIENCE, gone);
    gone.await.expect("the port's name is taken away");
}

#[tokio::test]
async fn an_rtu_over_dnp3_is_read_and_its_tap_changer_moved() {
    let stand = noon().await;
    let mut rtu = stand.main_rtu();
    rtu.until_value("bay3_u", |u| (u / 20e3 - 1.02).abs() < 0.02)
        .await;
    assert_eq!(rtu.value("bay1_closed"), 1.0);
    assert!((rtu.value("bay1_u") / 113_300.0 - 1.0).abs() < 0.01);
    let up = Action::Write(Value::Analog(1.0));
    assert_eq!(rtu.command("bay1_tap", up).await, CommandStatus::Done);
    rtu.until_value("bay1_tap", |tap| tap == 1.0).await;
    let beyond = Action::Write(Value::Analog(99.0));
    let refused = rtu.command("bay1_tap", beyond).await;
    assert!(matches!(refused, CommandStatus::Rejected(_)), "{refused:?}");
}

#[tokio::test]
async fn an_rtu_over_iec_104_is_read_and_refuses_what_it_has_not() {
    let stand = noon().await;
    let mut rtu = stand.feeder_rtu();
    rtu.until_value("bay1_u", |u| (u / 20e3 - 1.0).abs() < 0.1)
        .await;
    rtu.until_value("bay1_closed", |closed| closed == 1.0).await;
    rtu.until_value("bay1_energy_in", |energy| energy >= 0.0)
        .await;
    // No bay of this RTU has a tap changer.
    let up = Action::Write(Value::Analog(1.0));
    let refused = rtu.command("bay1_tap", up).await;
    assert!(matches!(refused, CommandStatus::Rejected(_)), "{refused:?}");
}

#[tokio::test]
async fn faults_of_the_wire_are_seen_by_a_client_and_end() {
    let stand = noon().await;
    // IEC 104 gives up after t1, 15 s.
    for (device, mut client, slow_s) in [
        ("pv3", stand.sunspec(15_093), 3),
        ("rtu-main", stand.main_rtu(), 3),
        ("rtu10", stand.feeder_rtu(), 20),
    ] {
        client.until_online().await;
        let slow = format!(r#""slow", "value": {slow_s}"#);
        for kind in [r#""gone""#, r#""garbage""#, &slow] {
            let body = format!(r#"{{"device": "{device}", "kind": {kind}}}"#);
            let id = stand.fault(&body).await;
            let why = client.until_offline().await;
            println!("{device} {kind}: {why}");
            let (status, _) = stand.http("DELETE", &format!("/faults/{id}"), "").await;
            assert_eq!(status, 204);
            client.until_online().await;
        }
    }
}

#[tokio::test]
async fn faults_of_readings_are_seen_by_a_client() {
    let stand = noon().await;
    let map = Profile::generic().unwrap().registers;
    let mut rtu = stand.rtu(15_208, map);
    rtu.until_online().await;
    rtu.poll().await;
    let (u, p) = (rtu.value("bay1_u"), rtu.value("bay2_p"));
    stand
        .fault(r#"{"device": "rtu8", "kind": "sign", "point": "bay2_p"}"#)
        .await;
    rtu.until_value("bay2_p", |now| (now / p + 1.0).abs() < 0.2)
        .await;
    stand
        .fault(r#"{"device": "rtu8", "kind": "scale", "point": "bay1_u", "value": -1}"#)
        .await;
    rtu.until_value("bay1_u", |now| (now / u - 0.1).abs() < 0.01)
        .await;
    stand
        .fault(r#"{"device": "rtu8", "kind": "spike", "point": "bay3_u", "value": 60}"#)
        .await;
    rtu.until_value("bay3_u", |now| (now / u - 1.06).abs() < 0.01)
        .await;
    stand
        .fault(r#"{"device": "rtu8", "kind": "frozen", "point": "bay2_u"}"#)
        .await;
    // What was read before the fault may still have been on its way.
    rtu.poll().await;
    let frozen = rtu.value("bay2_u");
    let (other, mut moved) = (rtu.value("bay2_q"), false);
    for _ in 0..20 {
        rtu.poll().await;
        assert_eq!(rtu.value("bay2_u"), frozen);
        moved |= rtu.value("bay2_q") != other;
    }
    assert!(moved, "only one reading is frozen");
    let (status, _) = stand.http("DELETE", "/faults", "").await;
    assert_eq!(status, 204);
    rtu.until_value("bay2_p", |now| (now / p - 1.0).abs() < 0.2)
        .await;
    rtu.until_value("bay2_u", |now| now != frozen).await;
}

async fn refused(stand: &Stand, method: &str, path: &str, body: &str) -> (u16, String) {
    let (status, answer) = stand.http(method, path, body).await;
    let message = answer["message"].as_str().unwrap_or_default().to_owned();
    (status, message)
}

#[tokio::test]
async fn the_control_interface_tells_the_truth_and_refuses_nonsense() {
    let stand = noon().await;
    let (status, truth) = stand.http("GET", "/truth", "").await;
    assert_eq!(status, 200);
    let highest = truth["nodes"].as_array().unwrap().iter();
    let highest = highest.filter_map(|node| node["u_pu"].as_f64());
    assert!((highest.fold(0.0, f64::max) - 1.1087).abs() < 2e-3);
    assert_eq!(truth["units"].as_array().unwrap().len(), 15);
    assert_eq!(truth["failure"], serde_json::Value::Null);

    let (_, history) = stand.http("GET", "/history", "").await;
    let row = &history["rows"][0];
    assert_eq!(history["units"].as_array().unwrap().len(), 15);
    assert_eq!(row["unit_p_w"].as_array().unwrap().len(), 15);
    assert!(row["loading_max"].as_f64().unwrap() > 1.0);
    let later = row["t_unix_ms"].as_i64().unwrap() + 3_600_000;
    let (_, none) = stand
        .http("GET", &format!("/history?since_ms={later}"), "")
        .await;
    assert_eq!(none["rows"].as_array().unwrap().len(), 0);
    let (_, devices) = stand.http("GET", "/devices", "").await;
    assert_eq!(devices.as_array().unwrap().len(), 24);

    let (status, _) = stand
        .http("POST", "/loads", r#"{"id": 36, "p_w": 1e6}"#)
        .await;
    assert_eq!(status, 204);
    for (method, path, body, expected, says) in [
        ("GET", "/nowhere", "", 404, "GET / lists"),
        ("GET", "/history?since=5", "", 400, "since"),
        ("POST", "/faults", "{", 400, "JSON"),
        (
            "POST",
            "/faults",
            r#"{"device": "pv3", "kind": "odd"}"#,
            422,
            "odd",
        ),
        (
            "POST",
            "/faults",
            r#"{"device": "pv99", "kind": "gone"}"#,
            422,
            "pv99",
        ),
        (
            "POST",
            "/faults",
            r#"{"device": "pv3", "kind": "gone", "colour": 1}"#,
            422,
            "colour",
        ),
        ("POST", "/loads", r#"{"id": 4711, "scale": 2}"#, 422, "4711"),
        ("POST", "/loads", r#"{"id": 36, "scale": -2}"#, 422, "scale"),
        ("DELETE", "/faults/77", "", 404, "77"),
    ] {
        let (status, message) = refused(&stand, method, path, body).await;
        assert_eq!(status, expected, "{path} {body}");
        assert!(message.contains(says), "{message:?} does not say {says:?}");
    }
    let (_, faults) = stand.http("GET", "/faults", "").await;
    assert_eq!(faults.as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let stand = noon().await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let loaded = sim_rtu::scenario::load(&folder.join("noon.toml")).unwrap();
    let listen = sim_rtu::station::Listen {
        ip: stand.ip,
        control_port: 0,
        lines: "none".into(),
    };
    let error = sim_rtu::station::start(&loaded, listen).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("pv3") && text.contains("--listen"), "{text}");
}
