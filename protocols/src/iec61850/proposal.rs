//! What an IED has that a site could use: read from an SCL file, or from the IED itself, which need not be known.
//! Measured values, counters, positions and single indications become points, controllable objects commands.
//!
//! Where logical nodes of one bay can be told, by the same instance number, they get the names of a bay: MMXU,
//! MMTR, XCBR and ATCC. All others are named after their reference.

use std::collections::{BTreeMap, BTreeSet};

use iec61850_model::{
    DataAttribute, DoChild, FC, IedModel,
    tree::{DataObject, LogicalNode},
};

use super::{
    CommandSpec, Kind, ObjectMap, PointSpec,
    association::{Failure, Lost, Place},
};

/// An IED that could become a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// Its name.
    pub ied: String,
    /// Where it is, as far as that is known: `192.0.2.7:102`.
    pub address: Option<String>,
    /// What it has; without [`ObjectMap::problems`].
    pub map: ObjectMap,
}

/// Names of what an IED has, as MMS lists them: by logical device, `LN$FC$DO$…`.
type Names = BTreeMap<String, Vec<String>>;

/// All IEDs of an SCL file (ICD, CID, SCD).
///
/// # Errors
/// Why it cannot be read.
pub fn of_scl(text: &str) -> Result<Vec<Proposal>, String> {
    let raw = iec61850_scl::parse_scl(text).map_err(|error| error.to_string())?;
    let ieds: Vec<String> = raw.ieds.iter().map(|ied| ied.name.clone()).collect();
    let resolved = raw.resolve().map_err(|error| error.to_string())?;
    let mut proposals = Vec::new();
    for ied in ieds {
        let model = resolved.build_model(&ied);
        let model = model.map_err(|error| format!("{ied}: {error}"))?;
        let addresses = model
            .connected_aps
            .iter()
            .filter_map(|ap| ap.address.as_ref());
        let mut addresses = addresses.filter_map(|address| {
            let port = address.mms_port().unwrap_or(102);
            Some(format!("{}:{port}", address.ip()?))
        });
        proposals.push(Proposal {
            address: addresses.next_back(),
            map: propose(&names_of_model(&model)),
            ied,
        });
    }
    Ok(proposals)
}

/// The IED at a place.
///
/// # Errors
/// It cannot be reached, or does not say what it has.
pub async fn of_host(place: &Place) -> Result<Proposal, String> {
    let words = |failure| match failure {
        Failure::Refused(why) | Failure::Lost(Lost(why)) => why,
    };
    let association = place.associate().await.map_err(|Lost(why)| why)?;
    let model = association.get_device_model_from_server();
    // Many requests, each of which is bounded by itself.
    let model = model.await.map_err(|error| error.to_string())?;
    let mut domains = Names::new();
    for device in &model.logical_devices {
        domains.insert(device.name.clone(), device.variables.clone());
    }
    let names: Vec<&str> = domains.keys().map(String::as_str).collect();
    let ied = common(&names).ok_or("the IED has no logical device")?;
    let devices = domains
        .iter()
        .map(|(domain, names)| (domain[ied.len()..].to_owned(), names.clone()));
    let map = propose(&devices.collect());
    place
        .ask(association.disconnect())
        .await
        .or_else(|failure| match failure {
            Failure::Refused(_) => Ok(()),
            lost => Err(words(lost)),
        })?;
    Ok(Proposal {
        ied,
        address: Some(place.address.clone()),
        map,
    })
}

/// What the names of logical devices begin with, and leaves each of them something: before `LD`, where that is
/// how the rest begins.
fn common(domains: &[&str]) -> Option<String> {
    let first = domains.first()?;
    let shared = |end: usize| {
        first.is_char_boundary(end)
            && domains
                .iter()
                .all(|d| d.len() > end && d.starts_with(&first[..end]))
    };
    let longest = (1..first.len()).rev().find(|end| shared(*end))?;
    let end = match first[..longest + 1].rfind("LD") {
        Some(at) if at > 0 => at,
        _ => longest,
    };
    Some(first[..end].to_owned())
}

fn names_of_model(model: &IedModel) -> Names {
    let mut names = Names::new();
    for device in &model.lds {
        let list = names.entry(device.inst.clone()).or_default();
        for node in &device.lns {
            let ln = node.full_name();
            for object in &node.dos {
                for fc in [FC::Mx, FC::St, FC::Co] {
                    names_of_object(&format!("{ln}${fc}"), object, fc, list);
                }
            }
            list.extend(blocks(node, &ln));
        }
    }
    names
}

fn blocks<'n>(node: &'n LogicalNode, ln: &'n str) -> impl Iterator<Item = String> + 'n {
    node.rcbs.iter().flat_map(move |block| {
        let fc = if block.is_buffered { "BR" } else { "RP" };
        let instances = block.instance_names().into_iter();
        instances.map(move |name| format!("{ln}${fc}${name}"))
    })
}

fn names_of_object(above: &str, object: &DataObject, fc: FC, list: &mut Vec<String>) {
    let path = format!("{above}${}", object.name);
    for child in &object.children {
        match child {
            DoChild::SubDo(below) => names_of_object(&path, below, fc, list),
            DoChild::Da(attribute) if attribute.fc == fc => {
                names_of_attribute(&path, attribute, list)
            }
            DoChild::Da(_) => {}
        }
    }
}

fn names_of_attribute(above: &str, attribute: &DataAttribute, list: &mut Vec<String>) {
    let path = format!("{above}${}", attribute.name);
    for below in &attribute.children {
        names_of_attribute(&path, below, list);
    }
    list.push(path);
}

/// Points, commands and reports among the names of an IED.
fn propose(devices: &Names) -> ObjectMap {
    let mut map = ObjectMap::default();
    let mut taken = [BTreeSet::new(), BTreeSet::new()];
    let mut families = BTreeSet::new();
    for (ld, names) in devices {
        for name in names {
            let Some((ln, fc, path)) = split(name) else {
                continue;
            };
            let dotted = path.replace('$', ".");
            match fc {
                "MX" | "ST" => {
                    for (suffix, kind) in kinds(fc, ln, path) {
                        let reference = format!("{ld}/{ln}.{dotted}[{fc}]");
                        let name = point_name(ln, path, suffix);
                        map.points
                            .extend(reference.parse().ok().map(|reference| PointSpec {
                                name: free(&mut taken[0], name, ld),
                                reference,
                                kind,
                                scale: 1.0,
                                offset: 0.0,
                                unit: unit(path).to_owned(),
                            }));
                    }
                }
                "CO" => {
                    let Some(object) = path.strip_suffix("$Oper").filter(|o| !o.contains('$'))
                    else {
                        continue;
                    };
                    let reference = format!("{ld}/{ln}.{object}");
                    map.commands
                        .extend(reference.parse().ok().map(|reference| CommandSpec {
                            name: free(&mut taken[1], command_name(ln, object), ld),
                            reference,
                            scale: 1.0,
                            offset: 0.0,
                            interlock_check: false,
                            synchro_check: false,
                            unit: String::new(),
                        }));
                }
                "BR" | "RP" if !path.contains('$') => {
                    // Instances of a block are for one client each: the first is for us.
                    let family = path.trim_end_matches(|c: char| c.is_ascii_digit());
                    if families.insert((ld, ln, fc, family.to_owned())) {
                        map.reports
                            .extend(format!("{ld}/{ln}.{fc}.{path}").parse().ok());
                    }
                }
                _ => {}
            }
        }
    }
    map
}

/// Logical node, functional constraint and the path below.
fn split(name: &str) -> Option<(&str, &str, &str)> {
    let (ln, rest) = name.split_once('$')?;
    let (fc, path) = rest.split_once('$')?;
    Some((ln, fc, path))
}

/// As what an attribute is taken, with what its name ends in; empty: it is no point.
fn kinds(fc: &str, ln: &str, path: &str) -> Vec<(&'static str, Kind)> {
    let is = |end: &str| path.ends_with(end);
    if fc == "MX" {
        let magnitude = is("$mag$f") && !is("$instMag$f") && !path.contains("$instCVal$");
        return match magnitude {
            true => vec![("", Kind::Analog)],
            false => Vec::new(),
        };
    }
    let class = class(ln).0;
    if path == "Pos$stVal" && ["XCBR", "XSWI"].contains(&class) {
        return vec![("closed", Kind::Closed), ("open", Kind::Open)];
    }
    if path == "Pos$stVal" && class == "CSWI" {
        return vec![("", Kind::Double)];
    }
    if is("$valWTr$posVal") {
        return vec![("", Kind::Analog)];
    }
    if is("$actVal") {
        return vec![("", Kind::Counter)];
    }
    let indication = path
        .strip_prefix("Ind")
        .and_then(|rest| rest.strip_suffix("$stVal"));
    if class == "GGIO" && indication.is_some_and(|n| n.chars().all(|c| c.is_ascii_digit())) {
        return vec![("", Kind::Binary)];
    }
    Vec::new()
}

/// Class and instance of a logical node; what has a prefix is of no class that is known here.
fn class(ln: &str) -> (&str, &str) {
    let end = ln.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    ln.split_at(end)
}

fn point_name(ln: &str, path: &str, suffix: &str) -> String {
    let (class, instance) = class(ln);
    let quantity = match (class, path) {
        ("MMXU", "TotW$mag$f") => "p",
        ("MMXU", "TotVAr$mag$f") => "q",
        ("MMXU", "PPV$phsAB$cVal$mag$f") => "u",
        ("MMXU", "A$phsA$cVal$mag$f") => "i",
        ("MMTR", "DmdWh$actVal") => "energy_in",
        ("MMTR", "SupWh$actVal") => "energy_out",
        ("XCBR", "Pos$stVal") => suffix,
        ("ATCC", "TapPos$valWTr$posVal") => "tap",
        _ => {
            let leaves = [
                "$cVal$mag$f",
                "$mag$f",
                "$stVal",
                "$valWTr$posVal",
                "$actVal",
            ];
            let stem = leaves.iter().find_map(|leaf| path.strip_suffix(leaf));
            let stem = stem.unwrap_or(path).replace('$', "_");
            let end = if suffix.is_empty() { "" } else { "_" };
            return format!("{ln}_{stem}{end}{suffix}").to_ascii_lowercase();
        }
    };
    format!("bay{instance}_{quantity}")
}

fn command_name(ln: &str, object: &str) -> String {
    match (class(ln), object) {
        (("ATCC", instance), "TapPos") => format!("bay{instance}_tap"),
        (("CSWI", instance), "Pos") => format!("bay{instance}_breaker"),
        _ => format!("{ln}_{object}").to_ascii_lowercase(),
    }
}

/// The name, or one after the logical device where it is taken.
fn free(taken: &mut BTreeSet<String>, name: String, ld: &str) -> String {
    let mut candidate = name.clone();
    let mut more = 1;
    while !taken.insert(candidate.clone()) {
        candidate = match more {
            1 => format!("{}_{name}", ld.to_ascii_lowercase()),
            _ => format!("{name}_{more}"),
        };
        more += 1;
    }
    candidate
}

/// Unit of a quantity by its data object (7-4).
fn unit(path: &str) -> &'static str {
    let object = path.split('$').next().unwrap_or(path);
    match object {
        "TotW" | "W" => "W",
        "TotVAr" | "VAr" => "var",
        "TotVA" | "VA" => "VA",
        "PPV" | "PhV" | "Vol" => "V",
        "A" | "Amp" => "A",
        "Hz" => "Hz",
        "SupWh" | "DmdWh" | "TotWh" => "Wh",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Our own simulator's model; its names are checked by hand against IEC 61850-7-4.
    #[test]
    fn an_scl_file_proposes_its_bay() {
        let text = include_str!("../../../sim-rtu/scl/bay.icd");
        let [proposal] = of_scl(text).unwrap().try_into().unwrap();
        assert_eq!(proposal.ied, "TEMPLATE");
        let map = &proposal.map;
        assert_eq!(map.problems(), Vec::<String>::new());
        let points: BTreeMap<&str, String> = map
            .points
            .iter()
            .map(|p| (p.name.as_str(), p.reference.to_string()))
            .collect();
        for (name, reference) in [
            ("bay1_p", "LD0/MMXU1.TotW.mag.f[MX]"),
            ("bay1_u", "LD0/MMXU1.PPV.phsAB.cVal.mag.f[MX]"),
            ("bay1_energy_in", "LD0/MMTR1.DmdWh.actVal[ST]"),
            ("bay1_tap", "LD0/ATCC1.TapPos.valWTr.posVal[ST]"),
            ("bay1_closed", "LD0/XCBR1.Pos.stVal[ST]"),
            ("bay1_open", "LD0/XCBR1.Pos.stVal[ST]"),
            ("cswi1_pos", "LD0/CSWI1.Pos.stVal[ST]"),
        ] {
            assert_eq!(
                points.get(name).map(String::as_str),
                Some(reference),
                "{name}"
            );
        }
        let reports: Vec<String> = map.reports.iter().map(ToString::to_string).collect();
        assert_eq!(
            reports,
            ["LD0/LLN0.BR.brcbStatus01", "LD0/LLN0.RP.urcbMeas01"]
        );
        let commands: Vec<&str> = map.commands.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(commands, ["bay1_breaker", "bay1_tap"]);
    }

    #[test]
    fn names_of_ieds_end_where_those_of_logical_devices_begin() {
        for (domains, ied) in [
            (vec!["BAY1LD0"], "BAY1"),
            (vec!["BAY1LD0", "BAY1LD1"], "BAY1"),
            (vec!["F1Control", "F1Measure"], "F1"),
            (vec!["LD0"], "LD"),
        ] {
            assert_eq!(common(&domains).as_deref(), Some(ied), "{domains:?}");
        }
        assert_eq!(common(&[]), None);
        assert_eq!(common(&["x"]), None);
    }

    #[test]
    fn what_is_no_scl_file_is_refused() {
        for text in [
            "",
            "<SCL/",
            "{}",
            "<SCL><IED name=\"A\"><AccessPoint/></IED></SCL>",
        ] {
            let read = of_scl(text);
            assert!(
                read.is_err()
                    || read.is_ok_and(|found| found.iter().all(|p| p.map.points.is_empty())),
                "{text}"
            );
        }
    }
}
