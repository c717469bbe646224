//! The market above, as a site file has it.

use std::path::Path;

use edge::site;

use super::{example, problems, spoil};

const ABOVE: &str = r#"
[above]
endpoint = "opc.tcp://area.example:4840"
user = "north"
password_file = "password"
pki = "pki"
award_s = 2
fallback = "schedule"
spread_per_mwh = 12.5
meter = { import = "feeder/import", export = "feeder/export" }

[[above.schedule]]
from = "00:00"
exchange_w = -5000

[[above.schedule]]
from = "06:30"
exchange_w = 20000
"#;

#[test]
fn a_market_above_is_read() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    let device = site::load(&file).unwrap().devices[0].id.to_string();
    let text = example() + &ABOVE.replace("feeder/", &format!("{device}/"));
    let above = site::parse(&file, &text).unwrap().above.unwrap();
    assert_eq!((&*above.user, &*above.tenant), ("north", "north"));
    assert_eq!(above.pki.folder, file.parent().unwrap().join("pki"));
    assert_eq!(above.terms.schedule, [(0, -5_000), (23_400, 20_000)]);
    assert_eq!(above.terms.spread.per_mwh(), 12.5);
    assert_eq!(
        above.meter.unwrap().export.as_str(),
        format!("{device}/export")
    );
}

#[test]
fn what_is_wrong_with_a_market_above_is_named() {
    let mut text = example() + ABOVE;
    for (from, to) in [
        ("opc.tcp://area", "http://area"),
        ("award_s = 2", "award_s = 3"),
        ("spread_per_mwh = 12.5", "spread_per_mwh = -1"),
        ("from = \"00:00\"", "from = \"01:00\""),
        ("from = \"06:30\"", "from = \"24:00\""),
        ("user = \"north\"", "user = \"\""),
    ] {
        spoil(&mut text, from, to);
    }
    let found = problems(&text);
    for expected in [
        "above.endpoint: `http://area.example:4840` is not an endpoint",
        "above.award_s: must be below market.gate_s, which is 3",
        "above.spread_per_mwh: must be a number from 0",
        "above.schedule[0].from: the first must be 00:00",
        "above.schedule[1].from: `24:00` is not a time of day",
        "above.user: must not be empty",
    ] {
        assert!(
            found.iter().any(|of| of.contains(expected)),
            "{expected}: {found:#?}"
        );
    }
    // A device of the meter that is not there, and a fallback without what it falls back to.
    let unscheduled = &ABOVE[..ABOVE.find("[[").unwrap()];
    let found = problems(&(example() + unscheduled)).join("\n");
    assert!(found.contains("there is no device `feeder`"), "{found}");
    assert!(found.contains("wants [[above.schedule]] tables"), "{found}");
}
