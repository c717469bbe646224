//! `cargo xtask bench field`: the field under load. Three programs in one, by the first argument, so that what each
//! takes of the processor can be told apart:
//!
//! - `plant MODBUS IEDS`: the simulated devices, and the control centre's DNP3 master, which sees when a change of a
//!   device has become an event;
//! - `poll SECONDS DIR`: the appliance's field and point table alone, on the Modbus devices;
//! - `appliance SECONDS DIR`: the whole appliance on all devices.
//!
//! Each prints one line of JSON when it is ready or done. DIR holds `plan.json`, which says where the devices are.

mod appliance;
mod plan;
mod plant;

use anyhow::{Context, Result, bail};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

/// Time of this process on the processor, s.
fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
}

#[expect(clippy::print_stdout, reason = "who has started this reads it there")]
fn tell(json: &Value) {
    println!("{json}");
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match args[..] {
        ["plant", modbus, ieds] => runtime.block_on(plant::run(number(modbus)?, number(ieds)?)),
        ["poll", seconds, dir] => runtime.block_on(appliance::poll(number(seconds)?, dir.as_ref())),
        ["appliance", seconds, dir] => {
            runtime.block_on(appliance::whole(number(seconds)?, dir.as_ref()))
        }
        _ => bail!("plant MODBUS IEDS | poll SECONDS DIR | appliance SECONDS DIR"),
    }
}

fn number(text: &str) -> Result<usize> {
    text.parse().with_context(|| format!("{text} is no number"))
}
