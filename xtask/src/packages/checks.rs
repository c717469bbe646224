//! What is done to an installed appliance, in this order: each check leaves it as the next one finds
//! it. What a check returns is what it measured.

use std::{
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use busbar_tests::{
    http::Client,
    stack::{PASSWORD, USER, wait},
};
use serde_json::{Value, json};

use super::{container::Container, limits, serial::serial};
use crate::deb::Built;

/// A check and its name.
type Check = (&'static str, fn(&mut Appliance) -> Result<String>);

/// The one that needs a kernel which lets the container filter by BPF.
pub(super) const ADDRESSES: &str = "addresses";

/// All of them.
pub(super) const CHECKS: [Check; 21] = [
    ("install, no site yet", install),
    ("unit files", verify),
    ("a site comes: polled and settled", commission),
    ("memory and tasks", limits::limits),
    (ADDRESSES, limits::addresses),
    ("a serial line", serial),
    ("credentials", limits::credentials),
    ("kill -9", kill),
    ("SIGSTOP", freeze),
    ("disk full", disk_full),
    ("/etc read-only", read_only_etc),
    ("clock set back an hour", clock_back),
    ("journal gone", journal_gone),
    ("upgrade", upgrade),
    ("upgrade with a wrong site file", wrong_site),
    ("back to the older package", downgrade),
    ("a state of a newer format", limits::newer_format),
    ("reboot", reboot),
    ("ten minutes", limits::ten_minutes),
    ("remove", remove),
    ("purge", purge),
];

/// Port of the example site and of an appliance without a site.
const PORT: u16 = 8080;

/// The installed appliance.
pub(super) struct Appliance {
    container: Container,
    built: Built,
    client: Client,
}

impl Appliance {
    pub(super) fn new(container: Container, built: Built) -> Self {
        Self {
            container,
            built,
            client: client(),
        }
    }

    pub(super) fn sh(&self, script: &str) -> Result<String> {
        self.container.sh(script)
    }

    pub(super) fn show(&self, property: &str) -> Result<String> {
        let value = self.sh(&format!(
            "systemctl show --property={property} --value busbar"
        ))?;
        Ok(value.trim().to_owned())
    }

    /// The process that serves.
    pub(super) fn pid(&self) -> Result<String> {
        self.show("MainPID")
    }

    pub(super) fn serves(&self) -> bool {
        client().json("/healthz").is_ok()
    }

    /// Seconds until it serves as another process than `before`.
    fn back(&self, before: &str, within: Duration) -> Result<f64> {
        let start = Instant::now();
        let back = wait(within, || {
            self.pid().is_ok_and(|pid| pid != before && pid != "0") && self.serves()
        });
        ensure!(back, "not back within {within:?}:\n{}", self.journal());
        Ok(start.elapsed().as_secs_f64())
    }

    /// Its last lines.
    pub(super) fn journal(&self) -> String {
        self.sh("journalctl -u busbar -n 25 --no-pager -o cat")
            .unwrap_or_default()
    }

    pub(super) fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(
            &self.sh("cat /var/lib/busbar/status.json")?,
        )?)
    }

    /// Seconds until a figure of the status says enough.
    fn until(&self, what: &str, within: Duration, enough: fn(&Value) -> bool) -> Result<f64> {
        let start = Instant::now();
        let reached = wait(within, || self.status().is_ok_and(|status| enough(&status)));
        ensure!(reached, "not {what} within {within:?}:\n{}", self.journal());
        Ok(start.elapsed().as_secs_f64())
    }

    /// A file of the container, as seen from here.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.container.file(path)
    }

    fn install(&self, package: &std::path::Path) -> Result<String> {
        let package = self.container.put(package)?;
        self.sh(&format!("dpkg --install {package} 2>&1"))
    }

    /// Stops it; the status that it leaves is not to be taken for the next one's.
    pub(super) fn stop(&self) -> Result<()> {
        let stop = "systemctl stop busbar; rm -f /var/lib/busbar/status.json";
        self.sh(stop).map(drop)
    }

    /// Starts it; seconds until it estimates.
    pub(super) fn start(&self) -> Result<f64> {
        self.sh("systemctl start busbar")?;
        self.until("estimated", Duration::from_secs(30), estimated)
    }
}

fn client() -> Client {
    Client::new(&format!("http://127.0.0.1:{PORT}"))
}

pub(super) fn polled(status: &Value) -> bool {
    status["devices"].as_u64() > Some(0) && status["devices_online"] == status["devices"]
}

pub(super) fn estimated(status: &Value) -> bool {
    polled(status) && status["metrics"]["estimations"].as_u64() > Some(0)
}

fn settled(status: &Value) -> bool {
    status["metrics"]["settled"].as_u64() > Some(0)
}

fn install(on: &mut Appliance) -> Result<String> {
    on.install(&on.built.busbar)?;
    on.install(&on.built.sim)?;
    let up = wait(Duration::from_secs(10), || {
        on.container.page(PORT, "/").is_ok()
    });
    ensure!(up, "nothing is served:\n{}", on.journal());
    ensure!(on.show("ActiveState")? == "active", "not active");
    let page = on.container.page(PORT, "/")?;
    ensure!(page.contains("no site yet"), "{page}");
    ensure!(
        code(on).is_some(),
        "no code in the journal:\n{}",
        on.journal()
    );
    ensure!(
        !page.contains(&code(on).unwrap_or_default()),
        "the page tells the code"
    );
    let other = on.container.page(PORT, "/api/v1/status")?;
    ensure!(other.starts_with("HTTP/1.1 503"), "{other}");
    let size = on.sh("dpkg-query -W -f='${Installed-Size}' busbar")?;
    let user = on.sh("ps -o user= -C busbar")?;
    ensure!(user.trim() == "busbar", "it runs as {user}");
    Ok(format!("active, page served, installed {size} KiB"))
}

/// The enrolment code, out of the journal.
fn code(on: &Appliance) -> Option<String> {
    let said = on.sh("journalctl -u busbar --no-pager -o cat").ok()?;
    let line = said.lines().find(|line| line.contains("with the code"))?;
    line.split_whitespace().last().map(str::to_owned)
}

fn verify(on: &mut Appliance) -> Result<String> {
    // This small system has no `man` to look the manual up with, so the exit status says nothing; that
    // the verifier is there at all is asked first.
    let said = on.sh("systemd-analyze --version > /dev/null \
         && (systemd-analyze verify busbar.service busbar@feeder.service 2>&1 || true)")?;
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("busbar") && !line.contains("'man busbar(1)'"))
        .collect();
    ensure!(ours.is_empty(), "{}", ours.join("\n"));
    Ok("nothing to say".to_owned())
}

const SUBSTATION: &str = "\
[Service]
ExecStart=/usr/bin/busbar-sim run --scenario /usr/share/busbar-sim/scenarios/noon.toml --lines /run/busbar-sim
[Install]
WantedBy=multi-user.target
";

fn commission(on: &mut Appliance) -> Result<String> {
    let code = code(on).context("no code")?;
    on.sh(&format!(
        "printf '%s' '{SUBSTATION}' > /etc/systemd/system/substation.service
         systemctl enable --quiet --now substation
         cd /usr/share/busbar/examples/cigre-mv
         cp network.json /etc/busbar/
         sed 's|^state = .*|state = \"/var/lib/busbar\"|' site.toml > /etc/busbar/site.new
         mv /etc/busbar/site.new /etc/busbar/site.toml
         busbar check --site /etc/busbar/site.toml"
    ))?;
    let minute = Duration::from_secs(60);
    let estimates = on.until("polled and estimated", minute, estimated)?;
    let settles = on.until("settled", minute, settled)?;
    on.client.open_session(
        "/api/v1/enrol",
        &json!({"code": code, "user": USER, "password": PASSWORD}),
    )?;
    Ok(format!(
        "all devices and an estimate after {estimates:.1} s, an interval settled after {:.1} s",
        estimates + settles
    ))
}

fn kill(on: &mut Appliance) -> Result<String> {
    let before = on.pid()?;
    on.sh("systemctl kill --signal=KILL busbar")?;
    let back = on.back(&before, Duration::from_secs(2))?;
    Ok(format!("serves again after {back:.2} s"))
}

fn freeze(on: &mut Appliance) -> Result<String> {
    on.until("estimated", Duration::from_secs(20), estimated)?;
    let before = on.pid()?;
    on.sh("systemctl kill --signal=STOP busbar")?;
    let back = on.back(&before, Duration::from_secs(40))?;
    let said = on.sh("journalctl -u busbar --no-pager -o cat")?;
    ensure!(
        said.contains("Watchdog timeout"),
        "not by the watchdog:\n{}",
        on.journal()
    );
    Ok(format!(
        "ended by the watchdog, serves again after {back:.1} s"
    ))
}

fn disk_full(on: &mut Appliance) -> Result<String> {
    on.stop()?;
    on.sh(
        "mount -t tmpfs -o size=64m,mode=0700,uid=$(id -u busbar),gid=$(id -g busbar) state \
         /var/lib/busbar",
    )?;
    on.start()?;
    let before = on.pid()?;
    on.sh("dd if=/dev/zero of=/var/lib/busbar/filler bs=64k 2>/dev/null || true")?;
    // A few intervals have to go on record.
    sleep(Duration::from_secs(45));
    let journal = on.sh("journalctl -u busbar --no-pager -o cat")?;
    let said = journal
        .lines()
        .rev()
        .find(|line| line.contains("No space left"));
    let said = said
        .context("a full disk is not mentioned in the journal")?
        .to_owned();
    let stayed = on.pid()? == before;
    on.sh("rm -f /var/lib/busbar/filler /var/lib/busbar/status.json")?;
    let again = on.until("cleared again", Duration::from_secs(40), |status| {
        estimated(status) && status["metrics"]["clearings"].as_u64() > Some(0)
    })?;
    on.stop()?;
    on.sh("umount /var/lib/busbar")?;
    on.stop()?;
    on.start()?;
    let what = if stayed {
        "stayed up"
    } else {
        "ended, and was started again and again"
    };
    Ok(format!(
        "{what}: `{said}`; clears again {again:.1} s after there was room"
    ))
}

fn read_only_etc(on: &mut Appliance) -> Result<String> {
    on.sh("mount --bind /etc /etc; mount -o remount,bind,ro /etc")?;
    on.container.refused("touch /etc/busbar/x")?;
    let result = on.stop().and_then(|()| on.start());
    on.sh("umount /etc")?;
    Ok(format!("restarted, an estimate after {:.1} s", result?))
}

/// The library that tells a program another time; a container shares its host's clock.
const FAKETIME: &str = "\
[Service]
Environment=LD_PRELOAD=/usr/lib/ARCH/faketime/libfaketime.so.1
Environment=FAKETIME_TIMESTAMP_FILE=/etc/busbar/clock FAKETIME_NO_CACHE=1
Environment=FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_DISABLE_SHM=1
";

fn clock_back(on: &mut Appliance) -> Result<String> {
    let library = on.sh("ls /usr/lib/*/faketime/libfaketime.so.1")?;
    let arch = library.split('/').nth(3).context("no libfaketime")?;
    on.sh(&format!(
        "mkdir -p /run/systemd/system/busbar.service.d
         printf '%s' '{}' > /run/systemd/system/busbar.service.d/clock.conf
         echo +0 > /etc/busbar/clock
         systemctl daemon-reload",
        FAKETIME.replace("ARCH", arch)
    ))?;
    on.stop()?;
    on.start()?;
    let (pid, before) = (on.pid()?, on.status()?["now"].clone());
    on.sh("echo -1h > /etc/busbar/clock")?;
    sleep(Duration::from_secs(25));
    let journal = on.journal();
    let (same, after) = (on.pid()? == pid, on.status()?);
    let serves = on.serves();
    on.sh(
        "rm -r /run/systemd/system/busbar.service.d /etc/busbar/clock
         systemctl daemon-reload",
    )?;
    on.stop()?;
    on.start()?;
    ensure!(same && serves, "it did not stay up:\n{journal}");
    ensure!(
        after["now"].as_str() < before.as_str(),
        "it did not see the clock go back: {} after {before}",
        after["now"]
    );
    Ok(format!(
        "stayed up; health {}, {}",
        after["health"], after["reasons"]
    ))
}

fn journal_gone(on: &mut Appliance) -> Result<String> {
    let before = on.pid()?;
    let sockets = "systemd-journald.socket systemd-journald-dev-log.socket";
    on.sh(&format!(
        "systemctl stop {sockets} systemd-journald.service 2>/dev/null
         rm -rf /run/log/journal /var/log/journal"
    ))?;
    sleep(Duration::from_secs(10));
    let (serves, after) = (on.serves(), on.pid()?);
    on.sh(&format!(
        "systemctl start {sockets} systemd-journald.service"
    ))?;
    ensure!(serves && after == before, "it did not stay up");
    Ok("stayed up for 10 s without, and after".to_owned())
}

/// The newest interval that takes orders.
fn open_interval(client: &Client) -> Result<String> {
    let intervals = client.json("/api/v1/market/intervals")?;
    let open = intervals
        .as_array()
        .into_iter()
        .flatten()
        .filter(|i| i["phase"] == "open");
    let newest = open.filter_map(|i| i["start"].as_str()).max();
    Ok(newest.context("no interval is open")?.to_owned())
}

fn login() -> Result<Client> {
    let mut client = client();
    client.open_session(
        "/api/v1/login",
        &json!({"user": USER, "password": PASSWORD}),
    )?;
    Ok(client)
}

fn upgrade(on: &mut Appliance) -> Result<String> {
    on.client = login()?;
    on.sh("echo '# mine' >> /etc/apparmor.d/busbar")?;
    let site = on.sh("find /etc/busbar -type f | sort | xargs sha256sum")?;
    let interval = open_interval(&on.client)?;
    let network = on.client.json("/api/v1/network")?;
    let mut units = network["units"].as_array().into_iter().flatten();
    let wind = units.find(|unit| unit["id"] == 101).context("no wind")?;
    let order = on.client.post(
        "/api/v1/market/orders",
        &json!({"client_id": "kept", "participant": wind["participant"], "node": 7, "unit": 101,
            "interval": interval, "direction": "sell",
            "steps": [{"quantity_w": 100_000, "price_per_mwh": 30.0}]}),
    )?;
    ensure!(order.status == 201, "{} {}", order.status, order.body);
    let before = on.pid()?;
    let [newer, _] = on
        .built
        .packed_as(&format!("{}+newer", crate::deb::VERSION))?;
    let start = Instant::now();
    on.install(&newer)?;
    on.back(&before, Duration::from_secs(10))?;
    let took = start.elapsed().as_secs_f64();
    on.client = login().context("the users are not kept")?;
    let orders = on.client.json("/api/v1/market/orders")?;
    let kept = orders
        .as_array()
        .into_iter()
        .flatten()
        .find(|o| o["id"] == order.body["id"]);
    let kept = kept.with_context(|| format!("order {} is gone", order.body["id"]))?;
    ensure!(kept["client_id"] == "kept", "{kept}");
    ensure!(
        on.sh("find /etc/busbar -type f | sort | xargs sha256sum")? == site,
        "the site file is not what it was"
    );
    on.sh("grep -q '^# mine' /etc/apparmor.d/busbar")
        .context("a conffile was overwritten")?;
    on.sh("systemctl stop busbar
         busbar ledger verify --state /var/lib/busbar
         systemctl start busbar")
        .context("the ledger is not whole")?;
    Ok(format!(
        "site, users, order {} ({}) and ledger kept; serves again {took:.1} s after dpkg began",
        kept["id"], kept["state"]
    ))
}

fn wrong_site(on: &mut Appliance) -> Result<String> {
    on.until("estimated", Duration::from_secs(20), estimated)?;
    let before = on.pid()?;
    on.sh("sed -i 's/^u_max_pu/u_maxpu/' /etc/busbar/site.toml")?;
    let [package, _] = on
        .built
        .packed_as(&format!("{}+wrong", crate::deb::VERSION))?;
    let package = on.container.put(&package)?;
    let said = on
        .container
        .refused(&format!("dpkg --install {package} >&2"))?;
    ensure!(
        said.contains("did you mean `u_max_pu`"),
        "it does not say what is wrong: {said}"
    );
    ensure!(
        on.pid()? == before && on.serves(),
        "the old appliance does not go on"
    );
    on.sh("sed -i 's/^u_maxpu/u_max_pu/' /etc/busbar/site.toml; dpkg --configure busbar")?;
    on.back(&before, Duration::from_secs(10))?;
    Ok("dpkg fails and says what is wrong, the old process goes on until it is mended".to_owned())
}

/// Both know the same format of the state.
fn downgrade(on: &mut Appliance) -> Result<String> {
    on.stop()?;
    on.install(&on.built.busbar)?;
    let estimates = on.until("estimated", Duration::from_secs(20), estimated)?;
    Ok(format!(
        "the state is taken, an estimate after {estimates:.1} s"
    ))
}

fn reboot(on: &mut Appliance) -> Result<String> {
    on.stop()?;
    let start = Instant::now();
    on.container.reboot()?;
    let up = start.elapsed().as_secs_f64();
    let (estimates, answers) = limits::started(on, start)?;
    Ok(format!(
        "system up after {up:.1} s, all devices and an estimate after {estimates:.1} s, DNP3 answers after {answers:.1} s"
    ))
}

fn remove(on: &mut Appliance) -> Result<String> {
    on.sh("dpkg --remove busbar")?;
    ensure!(!on.serves(), "it serves still");
    on.sh("test ! -e /usr/bin/busbar
         test -s /var/lib/busbar/ledger.redb
         test -s /etc/busbar/site.toml
         test -s /etc/apparmor.d/busbar")
        .context("programs go, configuration and state stay")?;
    Ok("configuration and state stay".to_owned())
}

fn purge(on: &mut Appliance) -> Result<String> {
    on.sh("systemctl disable --quiet --now substation; rm /etc/systemd/system/substation.service")?;
    on.sh("dpkg --purge busbar busbar-sim; rm /var/tmp/*.deb")?;
    let left =
        on.sh("find / -xdev -path /proc -prune -o -path /sys -prune -o -name '*busbar*' -print")?;
    ensure!(left.trim().is_empty(), "left behind:\n{left}");
    on.sh("getent passwd busbar")?;
    Ok("nothing left but the system user, as Debian keeps them".to_owned())
}
