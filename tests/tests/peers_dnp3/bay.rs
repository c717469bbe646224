//! A breaker operation at a bay controller, from end to end: our server of IEC 61850 with the simulator's SCL is
//! the bay, opendnp3's and lib60870's masters are the control centres. Each operation is seen once, in order,
//! with the bay's time, by both of them and the historian.

use std::{fs, sync::Arc};

use anyhow::{Result, ensure};
use busbar_tests::stack::{Plan, Stack, workspace};
use protocols::{
    iec61850::server::{MmsServer, Refusal, Shown},
    point::{DoublePoint, Quality, TimeQuality, Timestamp, Value},
};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::{
    events::{index, on_record, online, until_seen, until_seen_104},
    peer::Peer,
};

/// The bay of the example's site that is not the simulator's here.
const BAY: (&str, &str, u16) = ("bay-t2-mv", "BAYT2MV", 15_222);

async fn bay() -> Result<MmsServer> {
    let scl = fs::read_to_string(workspace().join("sim-rtu/scl/bay.icd"))?;
    let refuse = Arc::new(|_: (&str, Value, bool)| Err(Refusal::NotSupported));
    Ok(MmsServer::bind("127.0.0.1:0".parse()?, &scl, BAY.1, refuse).await?)
}

fn operate(bay: &MmsServer, position: DoublePoint, unix_ms: i64) -> Result<()> {
    let reference = "LD0/XCBR1.Pos.stVal[ST]".parse();
    let shown = Shown {
        value: Value::DoublePoint(position),
        quality: Quality::GOOD,
        time: Timestamp {
            unix_us: unix_ms * 1000,
            quality: TimeQuality::Source,
        },
    };
    ensure!(bay.show(&reference.map_err(anyhow::Error::msg)?, shown));
    Ok(())
}

fn started(port: u16) -> Result<Stack> {
    let mut stack = Stack::start(Plan::for_test("iec61850-events", "noon")?)?;
    let site = fs::read_to_string(stack.site())?;
    let theirs = format!("address = \"{}:{}\"\n", stack.plan.ip, BAY.2);
    ensure!(site.contains(&theirs), "the example's bay moved:\n{site}");
    let ours = format!("address = \"127.0.0.1:{port}\"\n");
    fs::write(stack.site(), site.replace(&theirs, &ours))?;
    online(&mut stack, BAY.0)?;
    Ok(stack)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_of_a_bay_controller_is_seen_once_in_order_with_its_time() -> Result<()> {
    let begin_ms = 1_700_000_000_000;
    let bay = bay().await?;
    operate(&bay, DoublePoint::On, begin_ms)?;
    let port = bay.address().port();
    let mut stack = spawn_blocking(move || started(port)).await??;
    let breaker = index(&stack, &format!("{}/bay1: breaker", BAY.0))?;
    let host = stack.plan.ip.to_string();
    let mut dnp3 = Peer::start(&["master", "20000", "1", "10", &host])?;
    dnp3.task("STARTUP_INTEGRITY_POLL").await?;
    // Everything is quiet: what comes now is new.
    dnp3.tell(json!(["scan", [60, 2], [60, 3], [60, 4]]))
        .await?;
    dnp3.task("USER_TASK").await?;
    let mut iec104 = Peer::run("iec104_peers.py", &["master", &host, "2404", "timed"])?;
    iec104.until(|line| line["state"] == "OPEN").await?;

    // Open, and 37 ms later closed again.
    operate(&bay, DoublePoint::Off, begin_ms + 5_000)?;
    operate(&bay, DoublePoint::On, begin_ms + 5_037)?;
    let expected = [
        ("DETERMINED_OFF".to_owned(), begin_ms as u64 + 5_000),
        ("DETERMINED_ON".to_owned(), begin_ms as u64 + 5_037),
    ];
    until_seen(&mut dnp3, breaker, &expected).await?;
    until_seen_104(&mut iec104, breaker, &expected).await?;
    dnp3.stop().await?;
    iec104.stop().await?;
    let point = format!("{}/bay1_closed", BAY.0);
    spawn_blocking(move || on_record(&mut stack, &point, &expected)).await?
}
