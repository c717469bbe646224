//! Three levels on one machine: wholesale, the market of an area, three substations with a simulated feeder
//! each; every link over OPC UA with certificates of its own.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    http::Client,
    stack::{Plan, Stack, scenario_file, spawn, terminate, wait, workspace},
};

/// A substation: name, share of the loads, share of what generators can give. South's wind is more than its own
/// feeder takes, and more than the other two together: what is left of it is wholesale's.
const SUBSTATIONS: [(&str, f64, f64); 3] = [
    ("north", 0.03, 0.1),
    ("south", 0.02, 1.0),
    ("west", 0.04, 0.25),
];
/// Who holds the batteries of two of them, and is settled in the area.
pub const AGGREGATOR: &str = "flex-co";
/// Where it does.
const AGGREGATED: [&str; 2] = ["north", "south"];
/// Length of an interval, s.
pub const INTERVAL_S: u32 = 30;
/// Before the start: gates of substation and area, then by when an award has to be there; s.
const TIMES: [(&str, u32); 4] = [
    ("substation gate", 20),
    ("area gate", 14),
    ("area award", 10),
    ("substation award", 6),
];

/// Running programs of all three levels.
#[derive(Debug)]
pub struct AreaStack {
    /// Folder of everything.
    pub dir: PathBuf,
    bin: PathBuf,
    web_port: u16,
    /// By name.
    pub substations: Vec<(String, Stack)>,
    upper: Vec<(&'static str, Child)>,
}

impl AreaStack {
    /// Starts everything; returns once each level's web interface answers.
    ///
    /// # Errors
    /// When something does not come up.
    pub fn start(dir: PathBuf, bin: PathBuf, web_port: u16) -> Result<Self> {
        let _ = fs::remove_dir_all(&dir);
        for level in ["wholesale", "area/secrets"] {
            fs::create_dir_all(dir.join(level))?;
        }
        let mut stack = Self {
            dir,
            bin,
            web_port,
            substations: Vec::new(),
            upper: Vec::new(),
        };
        stack.keys()?;
        stack.write_wholesale()?;
        stack.write_area()?;
        stack.spawn_upper(
            "wholesale",
            "busbar-sim",
            &["wholesale", "--config"],
            "wholesale.toml",
        )?;
        stack.start_area()?;
        for (k, (name, loads, generation)) in SUBSTATIONS.into_iter().enumerate() {
            let of = stack.substation(k, name, loads, generation)?;
            stack.substations.push((name.to_owned(), of));
        }
        Ok(stack)
    }

    /// Starts the area's market.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_area(&mut self) -> Result<()> {
        self.spawn_upper("area", "busbar", &["run", "--site"], "site.toml")?;
        let web = Client::new(&self.area_url());
        let up = wait(Duration::from_secs(30), || web.get("/healthz").is_ok());
        ensure!(up, "the area did not come up:\n{}", self.log("area"));
        Ok(())
    }

    /// Kills the area's market as `kill -9` does.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_area(&mut self) -> Result<()> {
        let at = self.upper.iter().position(|(level, _)| *level == "area");
        let at = at.context("the area does not run")?;
        let (_, mut child) = self.upper.remove(at);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Address of the area's web interface.
    #[must_use]
    pub fn area_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.web_port)
    }

    /// A client of the area, logged in as its first operator.
    ///
    /// # Errors
    /// When enrolment or login fails.
    pub fn login(&self) -> Result<Client> {
        crate::stack::login(&self.area_url(), &self.dir.join("area/busbar.out"))
    }

    /// The end of a level's log.
    #[must_use]
    pub fn log(&self, level: &str) -> String {
        let read =
            |file: &str| fs::read_to_string(self.dir.join(level).join(file)).unwrap_or_default();
        let all = [read("busbar.err"), read("busbar-sim.err")].concat();
        let lines: Vec<&str> = all.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Whether every program runs.
    ///
    /// # Errors
    /// Which has ended.
    pub fn all_run(&mut self) -> Result<()> {
        let mut ended = Vec::new();
        for (level, child) in &mut self.upper {
            if child.try_wait()?.is_some() {
                ended.push((*level).to_owned());
            }
        }
        for (name, stack) in &mut self.substations {
            if !stack.edge_runs()? {
                ended.push(name.clone());
            }
        }
        let logs: Vec<String> = ended.iter().map(|of| self.log(of)).collect();
        ensure!(
            ended.is_empty(),
            "{} ended:\n{}",
            ended.join(", "),
            logs.join("\n")
        );
        Ok(())
    }

    /// Stops all, the lower levels first.
    ///
    /// # Errors
    /// When one does not stop.
    pub fn stop(&mut self) -> Result<()> {
        for (_, stack) in &mut self.substations {
            stack.stop_edge()?;
        }
        while let Some((_, mut child)) = self.upper.pop() {
            terminate(&mut child)?;
        }
        Ok(())
    }

    /// Of the ledgers of a stopped stack: that the aggregator's account of the intervals that start in a range is
    /// nothing in each substation, and in the area the sum of what passed up there. Its invoice of the area.
    ///
    /// # Errors
    /// Which account is another.
    pub fn aggregated(&self, from: &str, to: &str) -> Result<String> {
        let invoice = |level: &str, form: &[&str]| {
            let state = self.dir.join(level).join("state").display().to_string();
            let of = ["invoice", "--state", &state, "--participant", AGGREGATOR];
            let range = ["--from", from, "--to", to];
            self.busbar(&[&of[..], &range, form].concat(), None)
        };
        let read = |level: &str| -> Result<(i64, Vec<Value>)> {
            let all: Value = serde_json::from_str(&invoice(level, &["--json"])?)?;
            let balance = all[0]["balance_micro"].as_i64();
            let lines = all[0]["lines"].as_array().cloned();
            Ok((balance.context("no balance")?, lines.unwrap_or_default()))
        };
        let mut passed = 0;
        for name in AGGREGATED {
            let (balance, lines) = read(name)?;
            ensure!(
                balance == 0,
                "{AGGREGATOR} is left with {balance} in {name}"
            );
            let up = lines.iter().filter(|of| of["reason"] == "settled_above");
            passed -= up.filter_map(|of| of["amount_micro"].as_i64()).sum::<i64>();
        }
        let (balance, lines) = read("area")?;
        ensure!(
            balance == passed,
            "{AGGREGATOR} has {balance} in the area, the substations passed up {passed}"
        );
        ensure!(!lines.is_empty(), "{AGGREGATOR} had no part in the market");
        invoice("area", &[])
    }

    /// A program of a level, to its end; what it printed.
    ///
    /// # Errors
    /// It failed.
    pub fn busbar(&self, arguments: &[&str], input: Option<&Path>) -> Result<String> {
        let stdin = match input {
            Some(file) => Stdio::from(fs::File::open(file)?),
            None => Stdio::null(),
        };
        let mut command = Command::new(self.bin.join("busbar"));
        let output = command.args(arguments).stdin(stdin).output()?;
        ensure!(
            output.status.success(),
            "busbar {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Certificates of every end, each trusted by the other; passwords, and their hashes.
    fn keys(&self) -> Result<()> {
        let folder = |of: &str| self.dir.join(of).display().to_string();
        let ends = ["wholesale/pki", "area/pki", "area/pki-above"].map(str::to_owned);
        let below = SUBSTATIONS.map(|(name, ..)| format!("{name}/pki"));
        for end in ends.iter().chain(&below) {
            let name = end.split('/').next().unwrap_or(end);
            self.busbar(&["pki", "create", &folder(end), "--name", name], None)?;
        }
        let trust = |end: &str, other: &str| {
            let file = self.dir.join(other).join("own/certificate.der");
            self.busbar(
                &["pki", "trust", &folder(end), &file.display().to_string()],
                None,
            )
        };
        trust("wholesale/pki", "area/pki-above")?;
        trust("area/pki-above", "wholesale/pki")?;
        self.password("area/secrets/above")?;
        for (name, ..) in SUBSTATIONS {
            trust("area/pki", &format!("{name}/pki"))?;
            trust(&format!("{name}/pki"), "area/pki")?;
            self.password(&format!("{name}/password"))?;
            let password = self.dir.join(name).join("password");
            let hash = self.busbar(&["hash-password"], Some(&password))?;
            fs::write(self.dir.join(format!("area/secrets/{name}.hash")), hash)?;
        }
        Ok(())
    }

    /// A random one, mode 600.
    fn password(&self, file: &str) -> Result<()> {
        use std::{io::Read as _, os::unix::fs::OpenOptionsExt as _};
        let mut bytes = [0_u8; 16];
        fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let text: String = bytes.iter().map(|of| format!("{of:02x}")).collect();
        let path = self.dir.join(file);
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        Ok(())
    }

    /// SHA-256 of an end's own certificate, as the program says it.
    fn fingerprint(&self, end: &str) -> Result<String> {
        let folder = self.dir.join(end).display().to_string();
        let said = self.busbar(&["pki", "show", &folder], None)?;
        let words = said.split(|c: char| !c.is_ascii_hexdigit());
        let found = words.into_iter().find(|word| word.len() == 64);
        found
            .map(str::to_owned)
            .with_context(|| format!("no fingerprint in {said}"))
    }

    fn write_wholesale(&self) -> Result<()> {
        let prices = workspace().join("sim-rtu/data/wholesale-day.csv");
        let text = format!(
            "listen = \"127.0.0.1:{}\"\npki = \"pki\"\nstate = \"state\"\nprices = \"{}\"\n\
             starts_at = \"12:00\"\nspeed = 0.0\n\n[[tenant]]\nname = \"riverside\"\n\
             password_file = \"../area/secrets/above\"\ncertificate_sha256 = \"{}\"\n\
             import_max_w = 40000000\nexport_max_w = 40000000\n",
            self.port(2),
            prices.display(),
            self.fingerprint("area/pki-above")?
        );
        Ok(fs::write(self.dir.join("wholesale/wholesale.toml"), text)?)
    }

    fn port(&self, offset: u16) -> u16 {
        self.web_port + offset
    }

    fn write_area(&self) -> Result<()> {
        let example = workspace().join("edge/examples/area");
        let dir = self.dir.join("area");
        fs::copy(example.join("network.json"), dir.join("network.json"))?;
        let mut site = fs::read_to_string(example.join("site.toml"))?;
        let [_, (_, gate_s), (_, award_s), _] = TIMES;
        let mut change = |from: &str, to: String| {
            ensure!(site.contains(from), "`{from}` moved in the area's example");
            site = site.replace(from, &to);
            Ok(())
        };
        change("127.0.0.1:8090", format!("127.0.0.1:{}", self.web_port))?;
        change("127.0.0.1:4840", format!("127.0.0.1:{}", self.port(1)))?;
        change("interval_s = 900", format!("interval_s = {INTERVAL_S}"))?;
        change("gate_s = 240", format!("gate_s = {gate_s}"))?;
        for (k, (name, ..)) in SUBSTATIONS.into_iter().enumerate() {
            let example = format!("{:064}", k + 1);
            change(&example, self.fingerprint(&format!("{name}/pki"))?)?;
        }
        site.push_str(&format!(
            "\n[[aggregator]]\nname = \"{AGGREGATOR}\"\ntenants = {AGGREGATED:?}\n"
        ));
        site.push_str(&self.above("riverside", "pki-above", "secrets/above", 2, award_s));
        Ok(fs::write(dir.join("site.toml"), site)?)
    }

    /// The table of a market above.
    fn above(&self, user: &str, pki: &str, password: &str, port: u16, award_s: u32) -> String {
        format!(
            "\n[above]\nendpoint = \"opc.tcp://127.0.0.1:{}\"\nuser = \"{user}\"\n\
             password_file = \"{password}\"\npki = \"{pki}\"\naward_s = {award_s}\n\
             fallback = \"last_award\"\nspread_per_mwh = 5.0\n",
            self.port(port)
        )
    }

    fn spawn_upper(
        &mut self,
        level: &'static str,
        program: &str,
        arguments: &[&str],
        file: &str,
    ) -> Result<()> {
        let dir = self.dir.join(level);
        let plan = Plan {
            scenario: PathBuf::new(),
            ip: Ipv4Addr::LOCALHOST,
            web_ip: Ipv4Addr::LOCALHOST,
            web_port: self.web_port,
            dir: dir.clone(),
            bin: self.bin.clone(),
        };
        let file = dir.join(file);
        let mut all: Vec<&std::ffi::OsStr> = arguments.iter().map(|of| of.as_ref()).collect();
        all.push(file.as_os_str());
        let child = spawn(&plan, program, &all)?;
        self.upper.push((level, child));
        Ok(())
    }

    fn substation(&self, k: usize, name: &str, loads: f64, generation: f64) -> Result<Stack> {
        let number = u8::try_from(k)?;
        let dir = self.dir.join(name);
        let scenario = self.dir.join(format!("{name}.toml"));
        let data = workspace().join("sim-rtu/data");
        let noon = fs::read_to_string(scenario_file("noon"))?
            .replace("../data/", &format!("{}/", data.display()))
            .replace("[[0, 0.3]]", &format!("[[0, {loads}]]"))
            .replace("[[12, 1.0]]", &format!("[[12, {generation}]]"));
        fs::write(&scenario, noon)?;
        let keep =
            ["pki", "password"].map(|of| (dir.join(of), self.dir.join(format!("{name}-{of}"))));
        // The stack's folder is made anew; what was put there comes back.
        for (from, to) in &keep {
            fs::rename(from, to)?;
        }
        let mut stack = Stack::start(Plan {
            scenario,
            ip: Ipv4Addr::new(127, 0, 10, 1 + number),
            web_ip: Ipv4Addr::LOCALHOST,
            web_port: self.port(3 + u16::from(number)),
            dir,
            bin: self.bin.clone(),
        })?;
        for (to, from) in &keep {
            fs::rename(from, to)?;
        }
        let [(_, gate_s), .., (_, award_s)] = TIMES;
        let mut site = fs::read_to_string(stack.site())?;
        let mut change = |from: &str, to: String| {
            ensure!(
                site.contains(from),
                "`{from}` moved in the substation's example"
            );
            site = site.replacen(from, &to, 1);
            Ok(())
        };
        change("name = \"CIGRE MV\"", format!("name = \"{name}\""))?;
        change("interval_s = 10", format!("interval_s = {INTERVAL_S}"))?;
        change("gate_s = 3 ", format!("gate_s = {gate_s} "))?;
        change("lease_s = 15 ", format!("lease_s = {} ", INTERVAL_S + 10))?;
        // Wind asks for next to nothing: wholesale pays 24 at noon.
        change(
            "sell_price_per_mwh = 36.6667",
            "sell_price_per_mwh = 5.0".to_owned(),
        )?;
        change(
            "import_price_per_mwh = 50.0",
            "import_price_per_mwh = 110.0".to_owned(),
        )?;
        change(
            "export_price_per_mwh = 50.0",
            "export_price_per_mwh = 15.0".to_owned(),
        )?;
        site.push_str(&self.above(name, "pki", "password", 1, award_s));
        fs::write(stack.site(), with_aggregator(site, name))?;
        stack.start_edge()?;
        Ok(stack)
    }
}

/// The site of a substation with the aggregator's batteries, if it is one of those that have them; ends in `[above]`.
fn with_aggregator(mut site: String, name: &str) -> String {
    if AGGREGATED.contains(&name) {
        let own = format!("participant = \"{AGGREGATOR}\"");
        site = site.replace("participant = \"storage\"", &own);
        site.push_str(&format!("aggregators = [\"{AGGREGATOR}\"]\n"));
    }
    site
}

impl Drop for AreaStack {
    fn drop(&mut self) {
        while let Some((_, mut child)) = self.upper.pop() {
            let _ = terminate(&mut child);
        }
    }
}
