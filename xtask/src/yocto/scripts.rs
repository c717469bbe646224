//! What the image's own scripts do, with everything they call played by others: the boot loader's choice
//! of slot, updates and their trial, the firewall.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use super::layer;

/// GRUB's commands as a shell's, and its environment as a file.
const GRUB: &str = r#"
root=hd0,gpt1
regexp() { eval "disk=${3%%,*}"; }
load_env() { . "$ENV"; }
save_env() { shift 2; for name; do eval "echo \"$name='\$$name'\""; done > "$ENV"; }
linux() { echo "linux $*"; [ "$slot" != "$BROKEN" ]; }
boot() { if [ "$slot" != "$BROKEN" ]; then exit 0; fi; }
reboot() { echo reboot; exit 0; }
"#;

/// A disk with two slots.
struct Disk {
    dir: TempDir,
    broken: &'static str,
}

impl Disk {
    /// As made: slot A has a system, B is empty.
    fn new() -> Self {
        let disk = Self {
            dir: TempDir::new().unwrap(),
            broken: "",
        };
        disk.set("ORDER='A B'; A_OK=1; A_TRY=0; B_OK=0; B_TRY=0");
        disk
    }

    fn env(&self) -> PathBuf {
        self.dir.path().join("grubenv")
    }

    fn set(&self, variables: &str) {
        let before = fs::read_to_string(self.env()).unwrap_or_default();
        fs::write(self.env(), format!("{before}{variables}\n")).unwrap();
    }

    /// Starts the machine once; what GRUB did last.
    fn start(&self) -> String {
        let script = layer().join("recipes-bsp/busbar-boot/files/grub.cfg");
        let script = fs::read_to_string(script).unwrap();
        let output = Command::new("sh")
            // GRUB goes on after a command that failed.
            .args(["-uc", &format!("{GRUB}{script}")])
            .env("ENV", self.env())
            .env("BROKEN", self.broken)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() || !self.broken.is_empty(),
            "{output:?}"
        );
        said.trim().to_owned()
    }

    /// Which slot is started.
    fn boots(&self) -> String {
        let said = self.start();
        let slot = said.split("rauc.slot=").nth(1).expect("a slot");
        let slot = slot[..1].to_owned();
        let number = if slot == "A" { 3 } else { 4 };
        let label = slot.to_lowercase();
        let kernel =
            format!("linux (hd0,gpt{number})/boot/@KERNEL@ root=PARTLABEL=root_{label} ro ");
        assert!(said.starts_with(&kernel), "{said}");
        slot
    }

    /// As `rauc install` does for the other slot, and `rauc status mark-good` (src/bootloaders/grub.c).
    fn install(&self, slot: &str) {
        let other = if slot == "A" { "B" } else { "A" };
        self.set(&format!(
            "ORDER='{slot} {other}'; {slot}_OK=1; {slot}_TRY=0"
        ));
    }

    fn mark_good(&self, slot: &str) {
        self.set(&format!("{slot}_OK=1; {slot}_TRY=0"));
    }
}

#[test]
fn a_new_disk_starts_slot_a_again_and_again() {
    let disk = Disk::new();
    for _ in 0..3 {
        assert_eq!(disk.boots(), "A");
        disk.mark_good("A");
    }
}

#[test]
fn an_update_is_tried_once_and_stays_only_if_marked_good() {
    let disk = Disk::new();
    assert_eq!(disk.boots(), "A");
    disk.mark_good("A");
    disk.install("B");
    assert_eq!(disk.boots(), "B");
    // It did not prove itself.
    for _ in 0..2 {
        assert_eq!(disk.boots(), "A");
        disk.mark_good("A");
    }
    disk.install("B");
    assert_eq!(disk.boots(), "B");
    disk.mark_good("B");
    assert_eq!(disk.boots(), "B");
    disk.mark_good("B");
    disk.install("A");
    assert_eq!(disk.boots(), "A");
    assert_eq!(disk.boots(), "B");
}

#[test]
fn where_all_slots_were_tried_in_vain_it_begins_again() {
    let disk = Disk::new();
    // The power fails before it is marked good.
    for _ in 0..3 {
        assert_eq!(disk.boots(), "A");
    }
    disk.mark_good("A");
    disk.install("B");
    assert_eq!(disk.boots(), "B");
    assert_eq!(disk.boots(), "A");
    assert_eq!(disk.boots(), "B");
    assert_eq!(disk.boots(), "A");
}

#[test]
fn a_slot_without_a_kernel_is_the_other_ones_turn() {
    let mut disk = Disk::new();
    disk.install("B");
    disk.broken = "B";
    let said = disk.start();
    assert!(
        said.starts_with("linux (hd0,gpt4)") && said.ends_with("\nreboot"),
        "{said}"
    );
    assert_eq!(disk.boots(), "A");
}

/// A machine on which an update runs: what is called is noted, and answers as it is told to.
struct Machine {
    dir: TempDir,
}

/// What each program does: note its call, then what `answers/NAME` says, once a line; none left: success.
const PLAYED: &str = r#"#!/bin/sh
name=${0##*/}
echo "$name $*" >> "$MACHINE/calls"
case "$name $*" in *--json*) echo '{}' ;; *" backup "*) : > "$4" ;; esac
key=$name
case "$name" in busbar) key=$name-$1 ;; rauc) key=rauc-$1 ;; systemctl) key=systemctl-$1 ;; esac
file=$MACHINE/answers/$key
[ -s "$file" ] || exit 0
answer=$(head -n 1 "$file")
sed -i 1d "$file"
exit "$answer"
"#;

impl Machine {
    /// With a site, from slot A.
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path();
        for folder in ["bin", "answers", "data"] {
            fs::create_dir(path.join(folder)).unwrap();
        }
        for program in ["busbar", "rauc", "systemctl", "sleep", "nft"] {
            let program = path.join("bin").join(program);
            fs::write(&program, PLAYED).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(path.join("site.toml"), "").unwrap();
        let machine = Self { dir };
        machine.from("A");
        machine
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn trial(&self) -> PathBuf {
        self.path().join("data/update")
    }

    /// The next starts are from this slot.
    fn from(&self, slot: &str) {
        let line = format!("root=PARTLABEL=x ro rauc.slot={slot} console=tty0\n");
        fs::write(self.path().join("cmdline"), line).unwrap();
    }

    /// How a program answers its next calls.
    fn answers(&self, program: &str, statuses: &[u8]) {
        let lines: String = statuses
            .iter()
            .map(|status| format!("{status}\n"))
            .collect();
        fs::write(self.path().join("answers").join(program), lines).unwrap();
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        let _ = fs::remove_file(self.path().join("calls"));
        let script = layer()
            .join("recipes-busbar/busbar-system/files")
            .join(script);
        let path = format!("{}:/usr/bin:/bin", self.path().join("bin").display());
        Command::new("sh")
            .arg(script)
            .args(arguments)
            .env_clear()
            .env("PATH", path)
            .env("MACHINE", self.path())
            .env("BUSBAR_SITE", self.path().join("site.toml"))
            .env("BUSBAR_TRIAL", self.trial())
            .env("BUSBAR_CMDLINE", self.path().join("cmdline"))
            .env("BUSBAR_PATIENCE", "20")
            .env("BUSBAR_STEADY", "3")
            .output()
            .unwrap()
    }

    /// What was called: program and first argument, waiting left out.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path().join("calls")).unwrap_or_default();
        let short = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let mut calls: Vec<String> = calls.lines().map(short).collect();
        calls.retain(|call| call != "sleep 1");
        calls.dedup();
        calls
    }

    /// An update that went as far as the restart into slot B.
    fn updated() -> Self {
        let machine = Self::new();
        assert!(
            machine
                .run("busbar-update", &["new.raucb"])
                .status
                .success()
        );
        machine.from("B");
        machine
    }
}

#[test]
fn an_update_waits_for_its_moment_keeps_the_state_and_restarts() {
    let machine = Machine::new();
    // The first is the one before installing; then it may not be away twice.
    machine.answers("busbar-status", &[0, 1, 1]);
    let output = machine.run("busbar-update", &["new.raucb"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        machine.calls(),
        [
            "busbar status",
            "rauc install",
            "busbar status",
            "systemctl stop",
            "busbar backup",
            "rauc status",
            "systemctl reboot"
        ]
    );
    let slot = fs::read_to_string(machine.trial().join("slot")).unwrap();
    assert_eq!(slot.trim(), "B");
    assert!(machine.trial().join("before.json").is_file());
    assert!(machine.trial().join("state.tar").is_file());
}

#[test]
fn without_a_good_moment_nothing_is_restarted_unless_it_is_said_so() {
    let machine = Machine::new();
    machine.answers("busbar-status", &[&[0][..], &[1; 30]].concat());
    let output = machine.run("busbar-update", &["new.raucb"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        machine.calls(),
        ["busbar status", "rauc install", "busbar status"]
    );
    machine.answers("busbar-status", &[0, 1]);
    assert!(
        machine
            .run("busbar-update", &["--now", "new.raucb"])
            .status
            .success()
    );
    assert_eq!(machine.calls().last().unwrap(), "systemctl reboot");
}

#[test]
fn a_bundle_that_is_refused_changes_nothing() {
    let machine = Machine::new();
    machine.answers("rauc-install", &[1]);
    assert_eq!(
        machine.run("busbar-update", &["bad.raucb"]).status.code(),
        Some(1)
    );
    assert_eq!(machine.calls(), ["busbar status", "rauc install"]);
    assert!(!machine.trial().exists());
}

#[test]
fn a_state_that_cannot_be_kept_is_not_risked() {
    let machine = Machine::new();
    machine.answers("busbar-backup", &[1]);
    assert_eq!(
        machine.run("busbar-update", &["new.raucb"]).status.code(),
        Some(1)
    );
    let calls = machine.calls();
    assert_eq!(
        calls[calls.len() - 2..],
        ["busbar backup", "systemctl start"]
    );
}

#[test]
fn a_slot_that_cannot_be_chosen_is_not_restarted_into() {
    let machine = Machine::new();
    machine.answers("rauc-status", &[1]);
    let output = machine.run("busbar-update", &["new.raucb"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(machine.calls().last().unwrap(), "systemctl start");
}

#[test]
fn without_a_trial_every_start_is_good() {
    let machine = Machine::new();
    assert!(machine.run("busbar-health", &[]).status.success());
    assert!(machine.calls().is_empty());
}

#[test]
fn a_trial_is_passed_by_being_as_good_for_long_enough() {
    let machine = Machine::updated();
    // Not there yet, there, not again, then for good.
    machine.answers("busbar-status", &[1, 1, 0, 0, 1, 0, 0, 0, 1]);
    let output = machine.run("busbar-health", &[]);
    assert!(output.status.success(), "{output:?}");
    let left = fs::read_to_string(machine.path().join("answers/busbar-status")).unwrap();
    assert_eq!(
        left, "1\n",
        "it looks until it was good three times in a row, no longer"
    );
    // The slot is marked good only after this; a loss of power in between is not to end the trial.
    assert!(machine.trial().exists());
}

#[test]
fn a_trial_that_does_not_get_there_fails() {
    let machine = Machine::updated();
    machine.answers("busbar-status", &[0, 0, 1].repeat(30));
    let output = machine.run("busbar-health", &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn back_on_the_old_system_a_state_that_it_cannot_read_is_put_back() {
    let machine = Machine::updated();
    machine.from("A");
    machine.answers("busbar-ledger", &[1]);
    assert!(machine.run("busbar-health", &[]).status.success());
    assert_eq!(
        machine.calls(),
        [
            "busbar ledger",
            "systemctl stop",
            "busbar restore",
            "systemctl start"
        ]
    );
    assert!(!machine.trial().exists());
    assert!(
        machine
            .path()
            .join("data/update.failed/state.tar")
            .is_file()
    );

    // What it can read it keeps: contracts were made during the trial.
    let machine = Machine::updated();
    machine.from("A");
    assert!(machine.run("busbar-health", &[]).status.success());
    assert_eq!(machine.calls(), ["busbar ledger"]);
}

#[test]
fn the_firewall_opens_what_the_site_names_and_nothing_where_it_is_wrong() {
    let machine = Machine::new();
    let site = machine.path().join("site.toml");
    let site = site.to_str().unwrap();
    let opened = |machine: &Machine| {
        let calls = fs::read_to_string(machine.path().join("calls")).unwrap();
        let calls = calls.lines().filter(|call| call.starts_with("nft"));
        calls.map(str::to_owned).collect::<Vec<_>>()
    };
    let busbar = machine.path().join("bin/busbar");
    fs::write(
        &busbar,
        "#!/bin/sh\necho tcp 443 web\necho tcp 20000 dnp3\n",
    )
    .unwrap();
    assert!(machine.run("busbar-firewall", &[site]).status.success());
    assert_eq!(
        opened(&machine),
        [
            "nft flush set inet busbar services",
            "nft add element inet busbar services { 443 }",
            "nft add element inet busbar services { 20000 }"
        ]
    );
    fs::write(&busbar, "#!/bin/sh\nexit 78\n").unwrap();
    assert!(!machine.run("busbar-firewall", &[site]).status.success());
    assert_eq!(opened(&machine), ["nft flush set inet busbar services"]);
    assert!(
        machine
            .run("busbar-firewall", &["/nowhere/site.toml"])
            .status
            .success()
    );
    assert_eq!(
        opened(&machine).last().unwrap(),
        "nft add element inet busbar services { 8080 }"
    );
}

#[test]
fn every_acceptance_check_has_a_requirement_of_its_own() {
    let file = layer().join("recipes-busbar/busbar-system/files/acceptance.conf");
    let text = fs::read_to_string(&file).unwrap();
    let checks = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let numbers: Vec<&str> = checks
        .map(|line| {
            let number = line
                .strip_prefix("as \"")
                .and_then(|rest| rest.split(' ').next());
            number
                .filter(|number| number.starts_with("BB-"))
                .expect(line)
        })
        .collect();
    let distinct: std::collections::BTreeSet<&str> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), numbers.len());
    assert!(numbers.len() > 20);
    let parsed = Command::new("sh").arg("-n").arg(file).status().unwrap();
    assert!(parsed.success());
}

/// `grub.cfg` counts partitions, RAUC and the mounts go by their labels: both as on the disk that is made.
#[test]
fn partitions_are_where_grub_rauc_and_the_mounts_look() {
    let wks = fs::read_to_string(layer().join("wic/busbar.wks.in")).unwrap();
    let parts = wks.lines().filter(|line| line.starts_with("part "));
    let labels: Vec<&str> = parts
        .map(|line| {
            line.split("--part-name ")
                .nth(1)
                .and_then(|rest| rest.split(' ').next())
        })
        .map(Option::unwrap)
        .collect();
    assert_eq!(labels, ["esp", "grubenv", "root_a", "root_b", "state"]);
    let mut used = Vec::new();
    for file in [
        "recipes-rauc/busbar-rauc-conf/files/system.conf",
        "recipes-busbar/busbar-system/files/data.mount",
        "recipes-busbar/busbar-system/files/grubenv.mount",
    ] {
        let text = fs::read_to_string(layer().join(file)).unwrap();
        let after = text.split("/dev/disk/by-partlabel/").skip(1);
        used.extend(after.map(|rest| rest.lines().next().unwrap().to_owned()));
    }
    assert_eq!(used, ["root_a", "root_b", "state", "grubenv"]);
}
