//! A serial line under the packaged unit, as docs/install.md sets it up.

use std::time::Duration;

use anyhow::{Result, ensure};
use busbar_tests::stack::wait;

use super::checks::{Appliance, polled};

/// What the simulator's line is here, a pseudo-terminal, is none of the ports that `serial.conf` allows.
const PSEUDO: &str = "[Service]\nDeviceAllow=char-pts rw\n";

/// The unit's folder of additions.
const ADDITIONS: &str = "/etc/systemd/system/busbar.service.d";

/// The batteries are moved to their serial line: not reached until unit and port are opened for it.
pub(super) fn serial(on: &mut Appliance) -> Result<String> {
    on.stop()?;
    on.sh("cp /etc/busbar/site.toml /root/site.toml
         for at in 15106:5 15107:10; do
             sed -i \"/address = \\\"127.0.0.1:${at%:*}\\\"/{N;s/.*/line = \\\"batteries\\\"\\nunit_id = ${at#*:}/}\" /etc/busbar/site.toml
         done
         printf '\\n[[line]]\\nid = \"batteries\"\\nport = \"/run/busbar-sim/batteries\"\\n' >> /etc/busbar/site.toml
         busbar check --site /etc/busbar/site.toml
         systemctl start busbar")?;
    let others = |on: &Appliance| -> bool {
        let figures = on.status().ok().and_then(|status| {
            let online = status["devices_online"].as_u64()?;
            Some((online, status["devices"].as_u64()?))
        });
        figures.is_some_and(|(online, all)| online + 2 == all)
    };
    let without = wait(Duration::from_secs(20), || others(on));
    ensure!(without, "without its line:\n{}", on.journal());
    on.stop()?;
    on.sh(&format!(
        "install -D -m 0644 /usr/share/busbar/serial/serial.conf {ADDITIONS}/serial.conf
         printf '%s' '{PSEUDO}' > {ADDITIONS}/pseudo.conf
         port=$(readlink -f /run/busbar-sim/batteries)
         chgrp busbar $port; chmod 0660 $port
         systemctl daemon-reload; systemctl start busbar"
    ))?;
    let with = wait(Duration::from_secs(30), || {
        on.status().is_ok_and(|status| polled(&status))
    });
    ensure!(with, "with its line:\n{}", on.journal());
    let said = on.sh("systemd-analyze security --no-pager busbar | tail -n 1")?;
    on.stop()?;
    on.sh(&format!(
        "rm -r {ADDITIONS}; mv /root/site.toml /etc/busbar/site.toml; systemctl daemon-reload"
    ))?;
    on.start()?;
    let said = said.trim().trim_start_matches('→').trim();
    Ok(format!("polled once it is let; {said}"))
}
