//! `cargo xtask demo`: from a fresh checkout to a running market on a simulated substation.

mod area;

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use busbar_tests::{
    stack::{Plan, Stack, scenario_file, wait},
    truth::{Row, extremes, rows},
};
use clap::Args;
use serde_json::Value;

use crate::{
    run::{cargo, run, say, target},
    ui,
};

/// Voltage band that the demo promises, pu, with the meters' tolerance.
const BAND: (f64, f64) = (0.95 - 0.002, 1.05 + 0.002);

/// Arguments of `demo`.
#[derive(Args)]
pub(crate) struct Demo {
    /// Stop by itself after this long, e.g. `120s` or `5m`, counted from the first settled interval.
    #[arg(long = "for", value_parser = duration, value_name = "TIME")]
    time: Option<Duration>,
    /// Port of the web interface.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// For scripts: print only the address, the link and the summary.
    #[arg(long)]
    headless: bool,
    /// Scenario of the simulator (`day`: from 11:30, a day in 24 minutes; `noon`: held at noon).
    #[arg(long, default_value = "day")]
    scenario: String,
    /// Three levels instead: wholesale, the market of an area, three substations; held at noon.
    #[arg(long, conflicts_with = "scenario")]
    area: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("`{text}` is no time; 120s or 5m are"))?;
    match &text[digits.len()..] {
        "" | "s" => Ok(Duration::from_secs(number)),
        "m" | "min" => Ok(Duration::from_secs(60 * number)),
        unit => Err(format!("unit `{unit}` is neither s nor m")),
    }
}

impl Demo {
    #[expect(
        clippy::print_stdout,
        reason = "the address and the summary are the demo's output"
    )]
    pub(crate) fn run(self) -> Result<()> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, self.port))
            .with_context(|| format!("port {} is taken: choose another with --port", self.port))?;
        ui::build()?;
        let mut build = cargo();
        build.args([
            "build",
            "--release",
            "-p",
            "busbar-edge",
            "-p",
            "busbar-sim-rtu",
        ]);
        if self.headless {
            build.arg("--quiet");
        }
        run(&mut build)?;

        let stopped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stopped);
        ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;

        if self.area {
            return area::run(self.port, self.time, &stopped);
        }
        let mut stack = Stack::start(self.plan())?;
        let uncontrolled = uncontrolled(&stack)?;
        let started = now_ms();
        stack.start_edge()?;
        say("waiting for the first settled interval");
        let done = || stopped.load(Ordering::Relaxed) || metric(&stack, "settled") >= 1.0;
        ensure!(
            wait(Duration::from_secs(90), done),
            "no interval settled within 90 s; the appliance's log ends:\n{}",
            stack.log("busbar")
        );
        println!("\n  Busbar is running:  {}", stack.url());
        println!("  First, enrol here:  {}", stack.enrolment_link()?);
        println!("  Simulator's truth:  http://127.0.0.1:15900/truth\n");
        if !self.headless {
            println!("  Ctrl-C stops everything.\n");
        }
        self.watch(&mut stack, &stopped)?;
        let summary = Summary::of(&stack, &uncontrolled, started)?;
        summary.print();
        stack.stop_edge()?;
        summary.verdict()
    }

    fn plan(&self) -> Plan {
        let target = target();
        Plan {
            scenario: scenario_file(&self.scenario),
            ip: Ipv4Addr::LOCALHOST,
            web_ip: Ipv4Addr::LOCALHOST,
            web_port: self.port,
            dir: target.join("demo"),
            bin: target.join("release"),
        }
    }

    /// Waits for Ctrl-C, the end of the time or the end of a program, with a line every interval.
    #[expect(clippy::print_stdout, reason = "the demo shows what happens")]
    fn watch(&self, stack: &mut Stack, stopped: &AtomicBool) -> Result<()> {
        let start = Instant::now();
        let mut next = Instant::now();
        while !stopped.load(Ordering::Relaxed) && self.time.is_none_or(|t| start.elapsed() < t) {
            ensure!(
                stack.edge_runs()?,
                "the appliance ended:\n{}",
                stack.log("busbar")
            );
            if !self.headless && Instant::now() >= next {
                next += Duration::from_secs(10);
                println!("  {}", line(stack)?);
            }
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}

/// The worst of what the feeder does while nobody controls it.
fn uncontrolled(stack: &Stack) -> Result<Row> {
    thread::sleep(Duration::from_secs(2));
    let history = rows(&stack.control.json("/history")?);
    extremes(&history, 0).context("the simulator has no history")
}

fn line(stack: &Stack) -> Result<String> {
    let truth = stack.truth()?;
    let max = |list: &Value, key: &str| {
        let values = list.as_array().into_iter().flatten();
        values.filter_map(|v| v[key].as_f64()).fold(0.0, f64::max)
    };
    Ok(format!(
        "simulated {}   highest voltage {:.4} pu   highest loading {:3.0} %   intervals settled {}",
        truth["sim_time"].as_str().unwrap_or("?"),
        max(&truth["nodes"], "u_pu"),
        100.0 * max(&truth["branches"], "loading"),
        metric(stack, "settled"),
    ))
}

/// A figure of the appliance's status file.
fn metric(stack: &Stack, name: &str) -> f64 {
    let path = stack.plan.dir.join("state/status.json");
    let status: Value = fs::read(path)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    status["metrics"][name].as_f64().unwrap_or(0.0)
}

fn now_ms() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    now.as_millis() as i64
}

/// What the demo ends with.
struct Summary {
    uncontrolled: Row,
    controlled: Row,
    settled: f64,
    figures: Vec<(&'static str, String)>,
}

impl Summary {
    fn of(stack: &Stack, uncontrolled: &Row, started_ms: i64) -> Result<Self> {
        // The interval running at the start, the first one cleared, and a poll to settle.
        let third = started_ms + 35_000;
        let history = rows(&stack.control.json("/history")?);
        let controlled = extremes(&history, third)
            .context("stopped before the third interval: nothing to judge; let it run longer")?;
        let binary = fs::metadata(stack.plan.bin.join("busbar"))?.len();
        let figures = vec![
            (
                "points per second",
                format!("{:.0}", metric(stack, "points_per_s")),
            ),
            (
                "estimation",
                format!("{:.2} ms", metric(stack, "estimation_us") / 1e3),
            ),
            (
                "clearing with AC check",
                format!("{:.1} ms", metric(stack, "clearing_us") / 1e3),
            ),
            (
                "resident memory",
                format!("{:.1} MB", metric(stack, "rss_bytes") / 1e6),
            ),
            (
                "size of the binary",
                format!("{:.1} MB", binary as f64 / 1e6),
            ),
        ];
        let settled = metric(stack, "settled");
        Ok(Self {
            uncontrolled: *uncontrolled,
            controlled,
            settled,
            figures,
        })
    }

    #[expect(clippy::print_stdout, reason = "the summary is the demo's output")]
    fn print(&self) {
        let Self {
            uncontrolled: before,
            controlled: after,
            ..
        } = self;
        println!(
            "\n  in the simulator's physics    without Busbar    with Busbar (from the third interval)"
        );
        println!(
            "  highest voltage              {:>8.4} pu        {:.4} pu",
            before.u_max, after.u_max
        );
        println!(
            "  lowest voltage               {:>8.4} pu        {:.4} pu",
            before.u_min, after.u_min
        );
        println!(
            "  highest loading              {:>8.1} %         {:.1} %",
            100.0 * before.loading_max,
            100.0 * after.loading_max
        );
        println!("  intervals settled            {:>8}", self.settled);
        for (name, figure) in &self.figures {
            println!("  {name:<28} {figure:>8}");
        }
        println!();
    }

    fn verdict(&self) -> Result<()> {
        let after = &self.controlled;
        if after.u_max > BAND.1 || after.u_min < BAND.0 || after.loading_max > 1.0 {
            bail!("the feeder left its limits under control");
        }
        ensure!(self.settled >= 1.0, "no interval settled");
        say("all went well");
        Ok(())
    }
}
