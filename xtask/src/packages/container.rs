//! A booted Debian in a container: `mmdebstrap` once, cached in `.tools/`, then `systemd-nspawn --boot`
//! with a network of its own, which the caller's thread moves into.

use std::{
    fs,
    net::TcpStream,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use busbar_tests::stack::{wait, workspace};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{
    run::{output, run, target},
    tools,
};

/// What is in the root beside Debian's essential packages. The last is only for the clock that jumps.
const INCLUDE: &str = "systemd,systemd-sysv,udev,dbus,adduser,iproute2,procps,libfaketime";

/// What systemd-nspawn clears before a reboot; it refuses to where that is on a disk.
const NSPAWN: &str = "/run/systemd/nspawn";

/// How systemd-nspawn ends when its container reboots (`RestartForceExitStatus=` of its unit).
const FORCE_RESTART: i32 = 133;

/// See the module.
pub(super) struct Container {
    root: PathBuf,
    nspawn: Child,
    /// Its process 1, as seen from here.
    leader: u32,
    groups: Vec<PathBuf>,
}

impl Container {
    /// Boots a fresh root.
    pub(super) fn boot() -> Result<Self> {
        tools::debian("mmdebstrap")?;
        tools::debian_package("systemd-nspawn", "systemd-container")?;
        let root = target().join("deb/root");
        fresh(&root)?;
        let groups = groups()?;
        let nspawn = start(&root, &groups)?;
        let mut container = Self {
            root,
            nspawn,
            leader: 0,
            groups,
        };
        container.booted()?;
        Ok(container)
    }

    /// Waits until it is up, and moves this thread into its network.
    fn booted(&mut self) -> Result<()> {
        let before = self.leader;
        let found = wait(Duration::from_secs(60), || {
            let children = Command::new("pgrep")
                .args(["-P", &self.nspawn.id().to_string()])
                .output();
            let children = children.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
            let leader = children
                .unwrap_or_default()
                .lines()
                .find_map(|l| l.parse().ok());
            match leader.filter(|leader| *leader != before) {
                Some(leader) => {
                    self.leader = leader;
                    true
                }
                None => false,
            }
        });
        let log = || fs::read_to_string(target().join("deb/nspawn.log")).unwrap_or_default();
        ensure!(found, "systemd-nspawn does not boot here:\n{}", log());
        let up = wait(Duration::from_secs(60), || {
            let state = self.sh("systemctl is-system-running 2>/dev/null || true");
            matches!(state.as_deref().map(str::trim), Ok("running" | "degraded"))
        });
        ensure!(up, "the container did not come up:\n{}", log());
        let network = fs::File::open(format!("/proc/{}/ns/net", self.leader))?;
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
            .context("entering the container's network")
    }

    /// Reboots it. As it keeps its unit, systemd-nspawn ends and says that it is to be started again.
    pub(super) fn reboot(&mut self) -> Result<()> {
        // It ends this very command.
        let _ = self.sh("systemctl reboot");
        let mut ended = None;
        wait(Duration::from_secs(60), || {
            ended = self.nspawn.try_wait().ok().flatten();
            ended.is_some()
        });
        let code = ended.context("the container did not go down")?.code();
        ensure!(
            code == Some(FORCE_RESTART),
            "systemd-nspawn ended with {code:?}"
        );
        for group in &self.groups {
            wait(Duration::from_secs(5), || removed(group));
        }
        self.groups = groups()?;
        self.nspawn = start(&self.root, &self.groups)?;
        self.booted()
    }

    /// Runs a script inside, as root; what it prints.
    pub(super) fn sh(&self, script: &str) -> Result<String> {
        output(
            Command::new("nsenter")
                .args(["--target", &self.leader.to_string(), "--all", "env", "-i"])
                .args([
                    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                    "LC_ALL=C",
                    "DEBIAN_FRONTEND=noninteractive",
                ])
                .args(["sh", "-ec", script]),
        )
    }

    /// The same, for a script that shall fail; what it said.
    pub(super) fn refused(&self, script: &str) -> Result<String> {
        match self.sh(script) {
            Ok(said) => bail!("`{script}` did not fail: {said}"),
            Err(error) => Ok(format!("{error:#}")),
        }
    }

    /// A file inside, as seen from here.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Copies a file into `/var/tmp`; its path inside.
    pub(super) fn put(&self, file: &Path) -> Result<String> {
        let name = file.file_name().context("no file name")?;
        fs::copy(file, self.root.join("var/tmp").join(name))?;
        Ok(format!("/var/tmp/{}", name.to_string_lossy()))
    }

    /// What a web server inside answers to a GET, head and body.
    pub(super) fn page(&self, port: u16, path: &str) -> Result<String> {
        use std::io::{Read as _, Write as _};
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        for group in &self.groups {
            // Only the unified hierarchy can.
            let _ = fs::write(group.join("cgroup.kill"), "1");
        }
        let _ = self.nspawn.kill();
        let _ = self.nspawn.wait();
        let gone = Instant::now() + Duration::from_secs(5);
        for group in &self.groups {
            while Instant::now() < gone && !removed(group) {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Starts systemd-nspawn on a root, in control groups of its own.
fn start(root: &Path, groups: &[PathBuf]) -> Result<Child> {
    let joins: Vec<String> = groups
        .iter()
        .map(|group| format!("echo $$ > {}/cgroup.procs", group.display()))
        .collect();
    let start = format!(
        "{} && mkdir -p {NSPAWN} && mount -t tmpfs nspawn {NSPAWN} && exec systemd-nspawn \
         --directory={} --register=no --keep-unit --private-network \
         --capability=CAP_BPF,CAP_PERFMON --system-call-filter=bpf \
         --boot --console=pipe --machine=busbar",
        joins.join(" && "),
        root.display()
    );
    let log = fs::File::create(target().join("deb/nspawn.log"))?;
    let nspawn = Command::new("unshare")
        .args(["--mount", "sh", "-c", &start])
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(nspawn)
}

/// Removes a control group and those below it.
fn removed(group: &Path) -> bool {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            removed(&entry.path());
        }
    }
    fs::remove_dir(group).is_ok() || !group.exists()
}

/// Unpacks a root; makes it first, once.
fn fresh(root: &Path) -> Result<()> {
    let cached = workspace().join(".tools/debian-root.tar");
    if !cached.is_file() {
        fs::create_dir_all(workspace().join(".tools"))?;
        let part = cached.with_extension("part.tar");
        run(Command::new("mmdebstrap")
            .args([
                "--quiet",
                "--variant=minbase",
                &format!("--include={INCLUDE}"),
                "bookworm",
            ])
            .arg(&part))?;
        fs::rename(part, &cached)?;
    }
    if root.exists() {
        run(Command::new("rm")
            .args(["-rf", "--one-file-system"])
            .arg(root))?;
    }
    fs::create_dir_all(root)?;
    run(Command::new("tar")
        .arg("-C")
        .arg(root)
        .arg("-xf")
        .arg(cached))
}

/// Control groups of its own, so that nothing but the container ends with it.
fn groups() -> Result<Vec<PathBuf>> {
    let name = format!("busbar-packages-{}", std::process::id());
    let unified = Path::new("/sys/fs/cgroup");
    let parents = match unified.join("cgroup.procs").exists() {
        true => vec![unified.to_owned()],
        // Hybrid: systemd's own hierarchy beside the unified one.
        false => vec![unified.join("unified"), unified.join("systemd")],
    };
    let parents = parents.into_iter().filter(|parent| parent.exists());
    let groups: Vec<PathBuf> = parents.map(|parent| parent.join(&name)).collect();
    for group in &groups {
        fs::create_dir(group).with_context(|| {
            format!(
                "{}: systemd-nspawn needs a control group (are you root?)",
                group.display()
            )
        })?;
    }
    ensure!(!groups.is_empty(), "no control groups are mounted here");
    Ok(groups)
}
