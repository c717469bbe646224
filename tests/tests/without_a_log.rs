//! Whoever takes the log is gone (a stopped journal, a closed pipe): both programs go on.

use std::{
    fs::File,
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use busbar_tests::{
    http::Client,
    stack::{Plan, Stack, wait},
};

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program whose standard error nobody reads any more.
fn unheard(program: &mut Command) -> Result<Running> {
    let mut child = program
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    drop(child.stderr.take());
    Ok(Running(child))
}

#[test]
fn the_appliance_goes_on_without_a_log() -> Result<()> {
    let stack = Stack::start(Plan::for_test("without-a-log", "noon")?)?;
    let out = File::create(stack.plan.dir.join("busbar.out"))?;
    let mut edge = Command::new(stack.plan.bin.join("busbar"));
    let edge = edge.args(["run", "--site"]).arg(stack.site()).stdout(out);
    let mut edge = unheard(edge)?;
    let web = Client::new(&stack.url());
    ensure!(
        wait(Duration::from_secs(20), || web.get("/healthz").is_ok()),
        "the appliance did not come up"
    );
    // That the first user enrols is logged, and so is each alarm.
    let client = stack.login()?;
    let estimations = || -> Result<u64> {
        let status = client.json("/api/v1/status")?;
        let count = status["metrics"]["estimations"].as_u64();
        count.context("no count of estimations")
    };
    let before = estimations()?;
    let goes_on = wait(Duration::from_secs(20), || {
        estimations().is_ok_and(|now| now >= before + 5)
    });
    ensure!(goes_on, "it estimates no more");
    ensure!(edge.0.try_wait()?.is_none(), "the appliance ended");
    Ok(())
}

#[test]
fn the_simulator_goes_on_without_a_log() -> Result<()> {
    let plan = Plan::for_test("sim-without-a-log", "noon")?;
    std::fs::create_dir_all(&plan.dir)?;
    let mut sim = Command::new(plan.bin.join("busbar-sim"));
    let sim = sim.arg("run").arg("--scenario").arg(&plan.scenario);
    let sim = sim.arg("--listen").arg(plan.ip.to_string());
    let sim = sim.arg("--lines").arg(plan.dir.join("lines"));
    // Each device that listens is logged.
    let mut sim = unheard(sim.stdout(Stdio::null()))?;
    let up = wait(Duration::from_secs(20), || serves(plan.ip));
    ensure!(up, "the simulator did not come up");
    ensure!(sim.0.try_wait()?.is_none(), "the simulator ended");
    Ok(())
}

fn serves(ip: Ipv4Addr) -> bool {
    Client::new(&format!("http://{ip}:15900"))
        .json("/truth")
        .is_ok()
}
