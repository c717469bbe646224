//! How each quality of a point is said by each protocol, what comes back of it, and that nothing ever looks
//! better than it is, whichever way it came and goes on. The table is in `docs/qualities.md`; with
//! `BUSBAR_UPDATE=1` it is written anew.

use std::{fs, path::Path};

use protocols::{
    dnp3::{self, Flags},
    iec104::{self, Qds},
    iec61850::Q,
    point::Quality,
};

const DNP3: [dnp3::Kind; 6] = [
    dnp3::Kind::Binary,
    dnp3::Kind::DoubleBit,
    dnp3::Kind::BinaryOutput,
    dnp3::Kind::Counter,
    dnp3::Kind::Analog,
    dnp3::Kind::AnalogOutput,
];
const IEC104: [iec104::Kind; 8] = [
    iec104::Kind::Single,
    iec104::Kind::Double,
    iec104::Kind::Step,
    iec104::Kind::Bitstring,
    iec104::Kind::Normalized,
    iec104::Kind::Scaled,
    iec104::Kind::Float,
    iec104::Kind::Counter,
];

/// Flags by their names; `-` is none.
fn names<'a>(set: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = set.collect();
    match names.is_empty() {
        true => "-".to_owned(),
        false => names.join(", "),
    }
}

fn words(quality: Quality) -> String {
    let words: Vec<String> = quality.names();
    let words: Vec<String> = words.iter().map(|name| name.replace('_', " ")).collect();
    match words.is_empty() {
        true => "good".to_owned(),
        false => words.join(", "),
    }
}

fn by_dnp3(kind: dnp3::Kind, quality: Quality) -> (String, Quality) {
    let flags = Flags::from_quality(kind, quality);
    // `iter_names` gives a shared bit the name that comes first.
    let all = flags.iter_names().map(|(name, _)| match name {
        "CHATTER" => "OVER_RANGE",
        name => name,
    });
    (names(all), flags.quality(kind))
}

/// A bit of 104's descriptors has one name for counters and another for the rest.
fn by_104(kind: iec104::Kind, quality: Quality) -> (String, Quality) {
    let qds = Qds::from_quality(kind, quality);
    let counter = kind == iec104::Kind::Counter;
    let all = qds.iter_names().map(|(name, _)| name);
    let own = all.map(|name| match (name, counter) {
        ("CY", false) => "SB",
        ("CA", false) => "NT",
        (name, _) => name,
    });
    (names(own), qds.quality(kind))
}

fn by_61850(quality: Quality) -> (String, Quality) {
    let q = Q::from_quality(quality);
    (names(q.iter_names().map(|(name, _)| name)), q.quality())
}

fn table() -> String {
    use dnp3::Kind::{Analog, Binary};
    use iec104::Kind::{Counter, Float, Single};
    let mut text = String::from(
        "| quality | DNP3: two-state, counters | DNP3: analog | comes back | 104: indications | 104: measured values \
         | 104: counters | comes back | 61850 | comes back |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for quality in [Quality::GOOD].into_iter().chain(Quality::all().iter()) {
        let (binary, of_binary) = by_dnp3(Binary, quality);
        let (analog, of_analog) = by_dnp3(Analog, quality);
        let (single, of_single) = by_104(Single, quality);
        let (float, of_float) = by_104(Float, quality);
        let (counter, of_counter) = by_104(Counter, quality);
        let (q, of_q) = by_61850(quality);
        let mut dnp3 = vec![words(of_binary), words(of_analog)];
        let mut iec104 = vec![words(of_single), words(of_float), words(of_counter)];
        dnp3.dedup();
        iec104.dedup();
        text += &format!(
            "| {} | {binary} | {analog} | {} | {single} | {float} | {counter} | {} | {q} | {} |\n",
            words(quality),
            dnp3.join("; "),
            iec104.join("; "),
            words(of_q)
        );
    }
    text
}

#[test]
fn the_documentation_has_the_table() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/qualities.md");
    let text = fs::read_to_string(&file).unwrap();
    let begin = text.find("| quality |").unwrap();
    let end = begin + text[begin..].find("\n\n").unwrap() + 1;
    let table = table();
    if std::env::var_os("BUSBAR_UPDATE").is_some() {
        let new = format!("{}{table}{}", &text[..begin], &text[end..]);
        fs::write(&file, new).unwrap();
        return;
    }
    assert_eq!(&text[begin..end], table, "BUSBAR_UPDATE=1 writes it");
}

/// Every set of qualities there is.
fn every() -> impl Iterator<Item = Quality> {
    (0..=Quality::all().bits()).filter_map(Quality::from_bits)
}

#[test]
fn nothing_looks_better_than_it_is_after_any_way_through() {
    assert_eq!(every().count(), 1024);
    for quality in every() {
        let ied = by_61850(quality).1;
        assert_eq!(ied.is_good(), quality.is_good(), "61850 {quality:?}");
        for dnp3 in DNP3 {
            let told = Flags::from_quality(dnp3, ied).quality(dnp3);
            assert_eq!(
                told.is_good(),
                quality.is_good(),
                "61850 {dnp3:?} {quality:?}"
            );
            let came = Flags::from_quality(dnp3, quality).quality(dnp3);
            assert_eq!(came.is_good(), quality.is_good(), "{dnp3:?} {quality:?}");
            for iec104 in IEC104 {
                let told = Qds::from_quality(iec104, ied).quality(iec104);
                assert_eq!(
                    told.is_good(),
                    quality.is_good(),
                    "61850 {iec104:?} {quality:?}"
                );
                let told = Qds::from_quality(iec104, came);
                let read = told.quality(iec104);
                assert_eq!(
                    read.is_good(),
                    quality.is_good(),
                    "{dnp3:?} {iec104:?} {quality:?}"
                );
                let back = Flags::from_quality(dnp3, read).quality(dnp3);
                assert_eq!(
                    back.is_good(),
                    quality.is_good(),
                    "{iec104:?} {dnp3:?} {quality:?}"
                );
            }
        }
    }
}

#[test]
fn a_value_that_must_not_be_used_stays_one() {
    for quality in every().filter(|q| q.contains(Quality::INVALID)) {
        for kind in DNP3 {
            let came = Flags::from_quality(kind, quality);
            assert!(!came.contains(Flags::ONLINE), "{kind:?} {quality:?}");
        }
        let ied = by_61850(quality).1;
        assert!(ied.contains(Quality::INVALID), "61850 {quality:?}");
        for kind in IEC104 {
            let read = Qds::from_quality(kind, quality).quality(kind);
            assert!(read.contains(Quality::INVALID), "{kind:?} {quality:?}");
        }
    }
}
