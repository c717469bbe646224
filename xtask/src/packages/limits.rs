//! What the appliance may use and whom it may reach, what it does with a state of a newer format, and what a
//! control centre sees of a start.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use busbar_tests::stack::wait;
use redb::{Database, TableDefinition};

use super::{
    NotTested,
    checks::{Appliance, estimated},
};

/// The service's control group, in the container.
const GROUP: &str = "/sys/fs/cgroup/system.slice/busbar.service";

/// `MemoryMax=`, `TasksMax=` of the unit.
const MEMORY_MAX: u64 = 1 << 30;
const TASKS_MAX: u64 = 256;

/// The limits of the unit are those of its control group.
pub(super) fn limits(on: &mut Appliance) -> Result<String> {
    let mut said = Vec::new();
    for (property, most, controller, file) in [
        ("MemoryMax", MEMORY_MAX, "memory", "memory.max"),
        ("TasksMax", TASKS_MAX, "pids", "pids.max"),
    ] {
        let shown = on.show(property)?;
        ensure!(shown == most.to_string(), "{property} is {shown}");
        let there = on.sh(&format!("cat {GROUP}/{file} 2>/dev/null || true"))?;
        if there.is_empty() {
            said.push(held(on, property, most, controller)?);
        } else {
            ensure!(there.trim() == most.to_string(), "{file} is {there}");
            said.push(format!("{property} {most}"));
        }
    }
    Ok(said.join(", "))
}

/// Where the machine has given a controller to a hierarchy of its own, systemd in the container cannot set
/// it: the service is held to the same limit from outside, and has to go on.
fn held(on: &Appliance, property: &str, most: u64, controller: &str) -> Result<String> {
    let hierarchy = Path::new("/sys/fs/cgroup").join(controller);
    if !hierarchy.join("cgroup.procs").is_file() {
        let reason = format!("{property}: this machine has no controller of {controller}");
        return Err(NotTested(reason).into());
    }
    let group = hierarchy.join(format!("busbar-packages-{}", std::process::id()));
    fs::create_dir(&group)?;
    let (limit, used) = if controller == "memory" {
        ("memory.limit_in_bytes", "memory.max_usage_in_bytes")
    } else {
        ("pids.max", "pids.current")
    };
    let pid = outer_pid(on)?;
    fs::write(group.join(limit), most.to_string())?;
    fs::write(group.join("cgroup.procs"), pid.to_string())?;
    let estimations = |on: &Appliance| -> Result<u64> {
        let count = on.status()?["metrics"]["estimations"].as_u64();
        count.context("no count of estimations")
    };
    let before = estimations(on)?;
    let goes_on = wait(Duration::from_secs(20), || {
        estimations(on).is_ok_and(|now| now >= before + 10)
    });
    let used = fs::read_to_string(group.join(used))?;
    fs::write(hierarchy.join("cgroup.procs"), pid.to_string())?;
    fs::remove_dir(&group)?;
    ensure!(goes_on, "under {property} it stops:\n{}", on.journal());
    Ok(format!(
        "{property} {most}, held to it from outside, used {}",
        used.trim()
    ))
}

/// The service's process as this machine numbers it: the one that its own name space numbers `MainPID`.
fn outer_pid(on: &Appliance) -> Result<u32> {
    let inner = on.pid()?;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // It may be gone by now.
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
            continue;
        };
        let mut numbers = status
            .lines()
            .filter_map(|line| line.strip_prefix("NSpid:"))
            .flat_map(str::split_whitespace);
        let nested = numbers.next().is_some();
        let is_busbar = status.starts_with("Name:\tbusbar\n");
        if is_busbar && nested && numbers.last() == Some(&inner) {
            return Ok(pid);
        }
    }
    bail!("no process here is number {inner} in the container")
}

/// Connects from within the service's control group to its own machine, by a public address and a private one.
pub(super) fn addresses(on: &mut Appliance) -> Result<String> {
    let warned = on.sh("journalctl --no-pager -o cat")?;
    if warned.contains("does not support BPF/cgroup firewalling") {
        let reason = "IPAddressDeny: systemd finds no BPF in this container";
        return Err(NotTested(reason.to_owned()).into());
    }
    on.sh("ip address add 203.0.113.7/32 dev lo; ip address add 10.9.9.9/32 dev lo")?;
    // Nothing listens there: what is let through is refused at once, what is dropped is not answered.
    let connect = |address: &str, group: &str| {
        on.sh(&format!(
            "echo $$ > {group}/cgroup.procs
             timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/9' 2>&1 || echo status $?"
        ))
    };
    let public = connect("203.0.113.7", GROUP)?;
    let private = connect("10.9.9.9", GROUP)?;
    let others = connect("203.0.113.7", "/sys/fs/cgroup/init.scope")?;
    on.sh("ip address del 203.0.113.7/32 dev lo; ip address del 10.9.9.9/32 dev lo")?;
    ensure!(public.trim() == "status 124", "203.0.113.7: {public}");
    for (address, said) in [
        ("10.9.9.9", private),
        ("outside of it, 203.0.113.7", others),
    ] {
        ensure!(said.contains("Connection refused"), "{address}: {said}");
    }
    Ok("public addresses closed, private ones open".to_owned())
}

/// A key that is root's: the service has a copy in memory, and cannot open the file.
pub(super) fn credentials(on: &mut Appliance) -> Result<String> {
    on.stop()?;
    on.sh("umask 077; echo secret > /etc/busbar/credentials/key.pem")?;
    on.start()?;
    let copy = on.sh("stat -c '%U %a' /run/credentials/busbar.service/busbar_key.pem")?;
    let pid = on.pid()?;
    let seen = on.sh(&format!(
        "nsenter --target {pid} --mount --setuid $(id -u busbar) --setgid $(id -g busbar) \
         sh -c 'cat /run/credentials/busbar.service/busbar_key.pem; cat /etc/busbar/credentials/key.pem 2>&1 || true'"
    ))?;
    on.sh("rm /etc/busbar/credentials/key.pem")?;
    ensure!(seen.starts_with("secret\n"), "the service sees: {seen}");
    ensure!(
        seen.contains("Permission denied"),
        "the service sees: {seen}"
    );
    Ok(format!(
        "the copy is of {}, the file is root's",
        copy.trim()
    ))
}

/// The table of `ledger.redb` that has its format.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// A state that a newer version has left: refused by name, left alone, and taken when it is back.
pub(super) fn newer_format(on: &mut Appliance) -> Result<String> {
    let file = on.file("/var/lib/busbar/ledger.redb");
    on.stop()?;
    let own = set_format(&file, 1000)?;
    on.sh("systemctl start busbar || true")?;
    let refused = wait(Duration::from_secs(10), || {
        on.journal()
            .contains("has format 1000, written by a newer Busbar")
    });
    let serves = on.serves();
    on.stop()?;
    ensure!(refused && !serves, "not refused:\n{}", on.journal());
    ensure!(
        set_format(&file, own)? == 1000,
        "the format was written over"
    );
    on.sh("busbar ledger verify --state /var/lib/busbar")?;
    let estimates = on.start()?;
    Ok(format!(
        "refused by name and left alone; format {own} again: an estimate after {estimates:.1} s"
    ))
}

/// Writes a ledger's format; what it was.
fn set_format(file: &Path, format: u64) -> Result<u64> {
    ensure!(fs::exists(file)?, "{} is not there", file.display());
    let database = Database::open(file)?;
    let transaction = database.begin_write()?;
    let mut meta = transaction.open_table(META)?;
    let before = meta.insert("format", format)?.map(|before| before.value());
    drop(meta);
    transaction.commit()?;
    before.context("the ledger has no format")
}

/// Whether the outstation answers a control centre that asks for all static data: READ of object 60 variation 1.
/// First it tells, unsolicited, that it has restarted; it reads on once that is confirmed (IEEE 1815, 4.2 and 5.1).
fn answers() -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", 20000))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(&frame(&[0xc0, 0xc0, 0x01, 0x3c, 0x01, 0x06]))?;
    loop {
        // Link header and its CRC, transport and application control, function.
        let mut head = [0; 13];
        stream.read_exact(&mut head)?;
        ensure!(
            head[..2] == [0x05, 0x64] && head[4..8] == [1, 0, 10, 0],
            "{head:?}"
        );
        match head[12] {
            RESPONSE => return Ok(()),
            UNSOLICITED => {
                let length = usize::from(head[2]).checked_sub(8).context("no response")?;
                ensure!(length + 3 <= 16, "more than that it has restarted");
                let mut rest = [0; 16];
                stream.read_exact(&mut rest[..length + 2])?;
                stream.write_all(&frame(&[0xc1, 0xd0 | (head[11] & 0x0f), 0x00]))?;
            }
            other => bail!("function {other:#x}"),
        }
    }
}

/// Application functions of an outstation.
const RESPONSE: u8 = 0x81;
const UNSOLICITED: u8 = 0x82;

/// One block of user data from master 1 to outstation 10, unconfirmed (IEEE 1815, 9.2).
fn frame(data: &[u8]) -> Vec<u8> {
    let mut frame = vec![
        0x05,
        0x64,
        5 + data.len() as u8,
        0xc4,
        0x0a,
        0x00,
        0x01,
        0x00,
    ];
    let header = crc(&frame);
    frame.extend(header);
    frame.extend(data);
    frame.extend(crc(data));
    frame
}

/// CRC-16/DNP: polynomial 0x3d65, reflected, complemented; low octet first.
fn crc(data: &[u8]) -> [u8; 2] {
    let crc = data.iter().fold(0_u16, |crc, &octet| {
        (0..8).fold(crc ^ u16::from(octet), |crc, _| {
            (crc >> 1) ^ (0xa6bc * (crc & 1))
        })
    });
    (!crc).to_le_bytes()
}

/// Seconds from a moment until all devices and an estimate are there, and until a control centre is answered.
pub(super) fn started(on: &Appliance, start: Instant) -> Result<(f64, f64)> {
    let (mut estimate, mut answer) = (None, None);
    let up = wait(Duration::from_secs(60), || {
        let now = || start.elapsed().as_secs_f64();
        if estimate.is_none() && on.status().is_ok_and(|status| estimated(&status)) {
            estimate = Some(now());
        }
        if answer.is_none() && answers().is_ok() {
            answer = Some(now());
        }
        estimate.is_some() && answer.is_some()
    });
    ensure!(
        up,
        "estimate {estimate:?}, DNP3 {answer:?}:\n{}",
        on.journal()
    );
    estimate.zip(answer).context("neither")
}

/// What it has of memory when it has run for ten minutes: far from its limit.
pub(super) fn ten_minutes(on: &mut Appliance) -> Result<String> {
    let pid = on.pid()?;
    let megabytes = |on: &Appliance| -> Result<f64> {
        let bytes = on.status()?["metrics"]["rss_bytes"].as_f64();
        Ok(bytes.context("no figure of memory")? / 1e6)
    };
    let age = on.sh(&format!("ps -o etimes= -p {pid}"))?;
    let left = Duration::from_secs(600).saturating_sub(Duration::from_secs(age.trim().parse()?));
    sleep(left / 2);
    let half = megabytes(on)?;
    sleep(left - left / 2);
    ensure!(
        on.pid()? == pid && on.serves(),
        "it did not stay up:\n{}",
        on.journal()
    );
    let whole = megabytes(on)?;
    let most = MEMORY_MAX as f64 / 1e6 / 4.0;
    ensure!(whole > 0.0 && whole < most, "{whole:.1} MB");
    Ok(format!("{whole:.1} MB, half way there {half:.1} MB"))
}

#[cfg(test)]
mod tests {
    /// RESET LINK from master 1024 to outstation 1, as in many a guide to DNP3.
    #[test]
    fn the_crc_is_dnp3s() {
        assert_eq!(
            super::crc(&[0x05, 0x64, 0x05, 0xc0, 0x01, 0x00, 0x00, 0x04]),
            [0xe9, 0x21]
        );
    }
}
