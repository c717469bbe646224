//! A simulated substation and an appliance, as processes, in a folder and on a loopback address of
//! their own, so that several can run side by side.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::http::Client;

/// User that tests and the demo's own checks enrol as.
pub const USER: &str = "engineer";
/// Its password.
pub const PASSWORD: &str = "correct-horse-battery";

/// What to start.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Scenario of the simulator.
    pub scenario: PathBuf,
    /// Address of every simulated device.
    pub ip: Ipv4Addr,
    /// Address of the web interface.
    pub web_ip: Ipv4Addr,
    /// Port of the web interface.
    pub web_port: u16,
    /// Folder for the site, its state and the logs.
    pub dir: PathBuf,
    /// Folder of the built programs.
    pub bin: PathBuf,
}

impl Plan {
    /// A stack for a test: an unused loopback address and a new folder below the target folder.
    ///
    /// # Errors
    /// When the folder can't be made.
    pub fn for_test(name: &str, scenario: &str) -> Result<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let pid = std::process::id();
        let ip = Ipv4Addr::new(
            127,
            10 + (pid >> 8) as u8 % 100,
            pid as u8,
            NEXT.fetch_add(1, Ordering::Relaxed),
        );
        let bin = binaries()?;
        let dir = bin.join("busbar-stacks").join(format!("{name}-{pid}"));
        Ok(Self {
            scenario: scenario_file(scenario),
            ip,
            web_ip: ip,
            web_port: 8080,
            dir,
            bin,
        })
    }
}

/// Folder of the programs that `cargo build` made: `BUSBAR_BIN`, or where this test itself is.
///
/// # Errors
/// There is no `busbar` beside this program.
pub fn binaries() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("BUSBAR_BIN") {
        return Ok(dir.into());
    }
    let exe = std::env::current_exe()?;
    let dir = exe
        .ancestors()
        .find(|dir| dir.join("busbar").is_file())
        .ok_or_else(|| {
            anyhow!("no `busbar` beside this test: run it by `cargo xtask test system`")
        })?;
    Ok(dir.to_owned())
}

/// The workspace's folder.
#[must_use]
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// One of the simulator's own scenarios.
#[must_use]
pub fn scenario_file(name: &str) -> PathBuf {
    let folder = workspace().join("sim-rtu/scenarios");
    folder.join(format!("{name}.toml"))
}

/// A running simulator, and an appliance that may be started, stopped and killed.
#[derive(Debug)]
pub struct Stack {
    /// What was asked for.
    pub plan: Plan,
    /// The simulator's control interface.
    pub control: Client,
    sim: Child,
    edge: Option<Child>,
}

impl Stack {
    /// Starts the simulator and writes the site; the appliance is not started yet.
    ///
    /// # Errors
    /// When the simulator does not come up; the message ends with its log.
    pub fn start(plan: Plan) -> Result<Self> {
        let _ = fs::remove_dir_all(&plan.dir);
        fs::create_dir_all(&plan.dir).with_context(|| plan.dir.display().to_string())?;
        let sim = spawn(
            &plan,
            "busbar-sim",
            &[
                "run".as_ref(),
                "--scenario".as_ref(),
                plan.scenario.as_os_str(),
                "--listen".as_ref(),
                plan.ip.to_string().as_ref(),
                "--lines".as_ref(),
                plan.dir.join("lines").as_os_str(),
            ],
        )?;
        write_site(&plan)?;
        let control = Client::new(&format!("http://{}:15900", plan.ip));
        let mut stack = Self {
            plan,
            control,
            sim,
            edge: None,
        };
        let up = wait(Duration::from_secs(30), || {
            stack.control.json("/truth").is_ok()
        });
        if !up || stack.sim.try_wait()?.is_some() {
            bail!(
                "the simulator did not come up:\n{}",
                stack.log("busbar-sim")
            );
        }
        Ok(stack)
    }

    /// The site file, to be changed before the appliance is started.
    #[must_use]
    pub fn site(&self) -> PathBuf {
        self.plan.dir.join("site.toml")
    }

    /// Starts the appliance.
    ///
    /// # Errors
    /// When it can't be started or ends at once.
    pub fn start_edge(&mut self) -> Result<()> {
        let site = self.site();
        let edge = spawn(
            &self.plan,
            "busbar",
            &["run".as_ref(), "--site".as_ref(), site.as_os_str()],
        )?;
        self.edge = Some(edge);
        let web = Client::new(&self.url());
        let up = wait(Duration::from_secs(20), || web.get("/healthz").is_ok());
        if !up || !self.edge_runs()? {
            bail!("the appliance did not come up:\n{}", self.log("busbar"));
        }
        Ok(())
    }

    /// Whether the appliance runs.
    ///
    /// # Errors
    /// When the system can't tell.
    pub fn edge_runs(&mut self) -> Result<bool> {
        match &mut self.edge {
            Some(edge) => Ok(edge.try_wait()?.is_none()),
            None => Ok(false),
        }
    }

    /// Kills the appliance as `kill -9` does.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_edge(&mut self) -> Result<()> {
        let mut edge = self.edge.take().context("the appliance does not run")?;
        edge.kill()?;
        edge.wait()?;
        Ok(())
    }

    /// Asks the appliance to stop (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// When it does not run, or does not stop within 20 s.
    pub fn stop_edge(&mut self) -> Result<ExitStatus> {
        let mut edge = self.edge.take().context("the appliance does not run")?;
        terminate(&mut edge)
    }

    /// Address of the web interface.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}:{}", self.plan.web_ip, self.plan.web_port)
    }

    /// Process id of the appliance.
    #[must_use]
    pub fn edge_pid(&self) -> Option<u32> {
        self.edge.as_ref().map(Child::id)
    }

    /// The one-time enrolment link that the appliance printed.
    ///
    /// # Errors
    /// When it printed none within 10 s.
    pub fn enrolment_link(&self) -> Result<String> {
        enrolment_link(&self.plan.dir.join("busbar.out"))
    }

    /// A client logged in as the first operator; enrols it when nobody is yet.
    ///
    /// # Errors
    /// When enrolment or login fails.
    pub fn login(&self) -> Result<Client> {
        login(&self.url(), &self.plan.dir.join("busbar.out"))
    }

    /// The simulator's physics now.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub fn truth(&self) -> Result<Value> {
        self.control.json("/truth")
    }

    /// Makes a device of the simulator fail; the body as the simulator's documentation says.
    ///
    /// # Errors
    /// When the simulator refuses.
    pub fn fault(&self, body: &Value) -> Result<()> {
        let answer = self.control.post("/faults", body)?;
        ensure!(
            answer.status < 300,
            "fault {body}: {} {}",
            answer.status,
            answer.body
        );
        Ok(())
    }

    /// The last lines a program wrote.
    #[must_use]
    pub fn log(&self, program: &str) -> String {
        let read = |end: &str| {
            fs::read_to_string(self.plan.dir.join(format!("{program}.{end}"))).unwrap_or_default()
        };
        let text = read("out") + &read("err");
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Some(mut edge) = self.edge.take() {
            let _ = terminate(&mut edge);
        }
        let _ = terminate(&mut self.sim);
    }
}

/// The one-time enrolment link that an appliance printed into a file.
fn enrolment_link(printed: &Path) -> Result<String> {
    let find = || {
        let log = fs::read_to_string(printed).ok()?;
        log.split_whitespace()
            .find(|word| word.contains("#/enrol?code="))
            .map(str::to_owned)
    };
    wait(Duration::from_secs(10), || find().is_some());
    find().ok_or_else(|| anyhow!("no enrolment link in {}", printed.display()))
}

/// A client of an appliance, logged in as the first operator; enrols it when nobody is yet.
pub(crate) fn login(url: &str, printed: &Path) -> Result<Client> {
    let mut client = Client::new(url);
    let enrolled = client.json("/api/v1/session")?["enrolled"].as_bool() == Some(true);
    if enrolled {
        client.open_session(
            "/api/v1/login",
            &json!({"user": USER, "password": PASSWORD}),
        )?;
    } else {
        let link = enrolment_link(printed)?;
        let code = link.rsplit("code=").next().unwrap_or_default();
        client.open_session(
            "/api/v1/enrol",
            &json!({"code": code, "user": USER, "password": PASSWORD}),
        )?;
    }
    Ok(client)
}

pub(crate) fn spawn(plan: &Plan, program: &str, arguments: &[&std::ffi::OsStr]) -> Result<Child> {
    let log = |end: &str| {
        let path = plan.dir.join(format!("{program}.{end}"));
        fs::OpenOptions::new().create(true).append(true).open(path)
    };
    Command::new(plan.bin.join(program))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log("out")?)
        .stderr(log("err")?)
        // Ctrl-C at the terminal is the caller's: it stops us in order.
        .process_group(0)
        .spawn()
        .with_context(|| format!("starting {}", plan.bin.join(program).display()))
}

pub(crate) fn terminate(child: &mut Child) -> Result<ExitStatus> {
    if let Some(status) = child.try_wait()? {
        return Ok(status);
    }
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::TERM)?;
    let mut status = None;
    wait(Duration::from_secs(20), || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    status.ok_or_else(|| anyhow!("process {} did not stop on SIGTERM within 20 s", child.id()))
}

/// The example site, moved to the plan's addresses.
fn write_site(plan: &Plan) -> Result<()> {
    let example = workspace().join("edge/examples/cigre-mv");
    fs::copy(example.join("network.json"), plan.dir.join("network.json"))?;
    let site = fs::read_to_string(example.join("site.toml"))?;
    let web = "listen = \"127.0.0.1:8080\"";
    ensure!(site.contains(web), "the example's web server moved");
    let site = site
        .replace(web, "listen = \"web\"")
        .replace("127.0.0.1:", &format!("{}:", plan.ip))
        .replace("\"web\"", &format!("\"{}:{}\"", plan.web_ip, plan.web_port));
    let site = on_line(site, plan)?;
    fs::write(plan.dir.join("site.toml"), site)?;
    Ok(())
}

/// The site with its batteries on a serial line, where the simulator has them too.
fn on_line(mut site: String, plan: &Plan) -> Result<String> {
    for (port, unit) in [(15106, 5), (15107, 10)] {
        let by_tcp = format!("address = \"{}:{port}\"\nunit_id = 1\n", plan.ip);
        ensure!(
            site.contains(&by_tcp),
            "the example's battery at {port} moved"
        );
        let by_line = format!("line = \"batteries\"\nunit_id = {unit}\n");
        site = site.replace(&by_tcp, &by_line);
    }
    site.push_str("\n[[line]]\nid = \"batteries\"\nport = \"lines/batteries\"\n");
    Ok(site)
}

/// Asks again and again until `done` or the time is over; says which.
pub fn wait(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if done() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// A stack at noon and who is logged in to it, after an interval with awards has been settled.
///
/// # Errors
/// When it does not start, or none was within 90 s.
pub fn settled(test: &str) -> Result<(Stack, Client)> {
    let mut stack = Stack::start(Plan::for_test(test, "noon")?)?;
    stack.start_edge()?;
    let client = stack.login()?;
    let settled = || {
        let all = client.json("/api/v1/market/intervals").unwrap_or_default();
        let mut all = all.as_array().into_iter().flatten();
        all.any(|i| {
            i["phase"] == "settled" && i["awards"].as_array().is_some_and(|a| !a.is_empty())
        })
    };
    ensure!(
        wait(Duration::from_secs(90), settled),
        "{}",
        stack.log("busbar")
    );
    Ok((stack, client))
}

/// Waits until three intervals were dispatched and says when the third began, UTC, ms.
///
/// # Errors
/// When they were not within 120 s.
pub fn third_interval(client: &Client) -> Result<i64> {
    let mut starts: Vec<String> = Vec::new();
    let three = wait(Duration::from_secs(120), || {
        let dispatch = client.json("/api/v1/dispatch").unwrap_or_default();
        for row in dispatch.as_array().into_iter().flatten() {
            if let Some(start) = row["interval"].as_str()
                && !starts.iter().any(|s| s == start)
            {
                starts.push(start.to_owned());
            }
        }
        starts.len() >= 3
    });
    ensure!(
        three,
        "only these intervals were dispatched within 120 s: {starts:?}"
    );
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64)
}
