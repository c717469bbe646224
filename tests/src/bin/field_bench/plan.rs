//! What is where, and the site file made of it: a feeder without load, a line for each device that the control
//! centre sees. Behind one port are fifty Modbus devices with a unit each; the first of them has a bay.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};
use edge::site::{Site, Wire};
use protocols::modbus::map::RegisterMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Modbus devices behind one port.
pub(crate) const UNITS: usize = 50;
/// Points of a Modbus device: floats from this register on.
pub(crate) const POINTS: usize = 30;
pub(crate) const FIRST: u16 = 1000;
/// Points of an IED.
pub(crate) const IED_POINTS: usize = 100;
/// Which of them counts the seconds.
pub(crate) const SEQUENCE: usize = 5;
/// First index of measurements of bays at the control centre; four a bay, the first is the voltage.
pub(crate) const MEASURED: u16 = 20_000;
/// The outstation's and the master's address.
pub(crate) const OUTSTATION: u16 = 10;
pub(crate) const MASTER: u16 = 1;

/// Where the devices are, and where the control centre is served.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Plan {
    pub(crate) modbus: Vec<u16>,
    pub(crate) ieds: Vec<u16>,
    pub(crate) dnp3: u16,
}

impl Plan {
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let text = fs::read(dir.join("plan.json")).context("plan.json")?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// The site, its files written to `dir`.
    pub(crate) fn site(&self, dir: &Path) -> Result<Site> {
        let bays = self.modbus.len() + self.ieds.len();
        fs::write(dir.join("network.json"), network(bays).to_string())?;
        let file = dir.join("site.toml");
        fs::write(&file, self.site_file(bays)?)?;
        let mut site =
            edge::site::load(&file).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        let map = registers()?;
        for device in &mut site.devices {
            if let Wire::Modbus { map: of, .. } = &mut device.wire {
                of.clone_from(&map);
            }
        }
        Ok(site)
    }

    fn site_file(&self, bays: usize) -> Result<String> {
        let mut text = format!(
            "[site]\nname = \"bench\"\nnetwork = \"network.json\"\nstate = \"state\"\n\
             [web]\nlisten = \"127.0.0.1:0\"\n\
             [dnp3]\nlisten = \"127.0.0.1:{}\"\naddress = {OUTSTATION}\n\
             [[dnp3.master]]\nname = \"control-centre\"\naddress = {MASTER}\nip = \"127.0.0.1\"\ncommands = false\n\
             [estimation]\nperiod_s = 1\n\
             [limits]\nu_min_pu = 0.9\nu_max_pu = 1.1\nsigma_margin = 3.0\nrating_margin_pct = 1.0\n\
             [market]\ncurrency = \"EUR\"\ninterval_s = 10\ngate_s = 3\nimport_price_per_mwh = 50.0\nexport_price_per_mwh = 50.0\n\
             [dispatch]\nlease_s = 15\n\
             [[load]]\nid = 2000\nname = \"Load\"\nparticipant = \"all\"\nexpected_p_w = 1.0\nexpected_q_var = 0.0\nsigma_pct = 100\n",
            self.dnp3
        );
        for node in 0..=bays {
            write!(
                text,
                "[[node]]\nid = {node}\nname = \"Bus {node}\"\nx = {node}.0\ny = 0.0\n"
            )?;
        }
        let bay =
            |branch: usize| format!("bays = [{{ bay = 1, branch = {branch}, side = \"from\" }}]\n");
        for (k, port) in self.modbus.iter().enumerate() {
            for unit in 1..=UNITS {
                write!(
                    text,
                    "[[device]]\nid = \"m{k}-{unit}\"\nprofile = \"generic-rtu\"\naddress = \"127.0.0.1:{port}\"\nunit_id = {unit}\npoll_s = 1\ntimeout_s = 1\n"
                )?;
                if unit == 1 {
                    text.push_str(&bay(1000 + k));
                }
            }
        }
        for (k, port) in self.ieds.iter().enumerate() {
            write!(
                text,
                "[[device]]\nid = \"ied{k}\"\nprofile = \"iec61850\"\naddress = \"127.0.0.1:{port}\"\nied = \"IED{k}\"\npoll_s = 60\ntimeout_s = 5\n\
                 reports = [\"LD0/LLN0.RP.urcbAll01\"]\npoints = ["
            )?;
            for point in 1..=IED_POINTS {
                let name = name(point);
                write!(
                    text,
                    "{{ name = \"{name}\", ref = \"LD0/GGIO1.AnIn{point}.mag.f[MX]\" }},"
                )?;
            }
            text.push_str("]\n");
            text.push_str(&bay(1000 + self.modbus.len() + k));
        }
        Ok(text)
    }
}

/// The name of a point, counted from 1: the bay's four first.
pub(crate) fn name(point: usize) -> String {
    match point {
        1 => "bay1_u".to_owned(),
        2 => "bay1_p".to_owned(),
        3 => "bay1_q".to_owned(),
        4 => "bay1_i".to_owned(),
        _ => format!("a{point}"),
    }
}

fn registers() -> Result<RegisterMap> {
    let points: Vec<Value> = (0..POINTS)
        .map(|k| {
            let address = usize::from(FIRST) + 2 * k;
            json!({ "name": name(k + 1), "table": "holding", "address": address, "encoding": "f32" })
        })
        .collect();
    Ok(serde_json::from_value(json!({ "point": points }))?)
}

/// A chain of lines, in power-grid-model JSON.
fn network(lines: usize) -> Value {
    let node = |id| json!({ "id": id, "u_rated": 20_000 });
    let line = |k| {
        json!({ "id": 1000 + k, "from_node": k, "to_node": k + 1, "from_status": 1, "to_status": 1,
            "r1": 0.1, "x1": 0.1, "c1": 0.0, "tan1": 0, "i_n": 200 })
    };
    let nodes: Vec<Value> = (0..=lines).map(node).collect();
    let branches: Vec<Value> = (0..lines).map(line).collect();
    json!({ "version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": {
        "node": nodes, "line": branches,
        "source": [{ "id": 3000, "node": 0, "status": 1, "u_ref": 1.0, "sk": 1e10, "rx_ratio": 0.1 }],
        "sym_load": [{ "id": 2000, "node": lines, "status": 1, "type": 0, "p_specified": 0, "q_specified": 0 }],
    } })
}
