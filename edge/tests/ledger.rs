//! The record as an auditor sees it: exported, checked by a program that is not ours to run, and
//! computed again from nothing but itself.

#![expect(clippy::unwrap_used, reason = "a test that fails here has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use edge::{
    site,
    store::{Hash, Ledger, Record},
};
use solver::{
    market::{
        Capability, Direction, GridFee, Imbalance, LedgerEntry, Meter, MeterQuality, Order,
        OrderId, Party, Price, Rulebook, Step, Terms, Unit,
        clearing::{Case, Controls, Interface, LimitSet, NodePower, Options, Owner, clear},
        contracts, settle,
    },
    network::{Grid, pgm_json},
};

/// A source, two lines, three nodes of 400 V.
const NETWORK: &str = r#"{"version":"1.0","type":"input","is_batch":false,"attributes":{},"data":{
"node":[{"id":1,"u_rated":400.0},{"id":2,"u_rated":400.0},{"id":3,"u_rated":400.0}],
"line":[
 {"id":11,"from_node":1,"to_node":2,"from_status":1,"to_status":1,"r1":0.05,"x1":0.03,"c1":0.0,"tan1":0.0,"i_n":120.0},
 {"id":12,"from_node":2,"to_node":3,"from_status":1,"to_status":1,"r1":0.08,"x1":0.03,"c1":0.0,"tan1":0.0,"i_n":100.0}],
"source":[{"id":21,"node":1,"status":1,"u_ref":1.0,"sk":1e7,"rx_ratio":0.2}]}}"#;

/// A stream of numbers that is the same on every run (Knuth's MMIX generator).
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> i64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        i64::try_from((self.0 >> 33) % bound).unwrap()
    }
}

fn busbar(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_busbar"));
    command.args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn unit(id: i32, node: i32, (p_min_w, p_max_w): (f64, f64)) -> Unit {
    Unit {
        id,
        participant: format!("p{id}"),
        node,
        capability: Capability {
            p_min_w,
            p_max_w,
            q_max_var: 5_000.0,
            s_max_va: None,
        },
        dispatchable: true,
    }
}

/// A case with prices, quantities and a load drawn at random; some bind a line or a voltage.
fn case(draws: &mut Draws, interval: i64, number: u64) -> Case {
    let mut orders = Vec::new();
    for (k, (unit, direction)) in [
        (101, Direction::Sell),
        (102, Direction::Sell),
        (102, Direction::Buy),
    ]
    .into_iter()
    .enumerate()
    {
        let base = if direction == Direction::Sell { 30 } else { 10 };
        orders.push(Order {
            id: OrderId(number + k as u64),
            client_id: format!("c{}", number + k as u64),
            participant: format!("p{unit}"),
            unit,
            interval,
            direction,
            steps: vec![Step {
                quantity_w: 1_000 + draws.below(20_000),
                price: Price((base + draws.below(20)) * 1_000_000),
            }],
            terms: Terms::default(),
        });
    }
    let load_w = 5_000.0 + draws.below(40_000) as f64 / 3.0;
    Case {
        duration_s: 900,
        fixed: vec![NodePower {
            node: 2,
            p_w: -load_w,
            q_var: -0.3 * load_w,
            owner: Some(Owner {
                unit: 103,
                participant: "homes".to_owned(),
                order: None,
            }),
        }],
        units: vec![
            unit(101, 3, (0.0, 30_000.0)),
            unit(102, 3, (-30_000.0, 30_000.0)),
        ],
        orders,
        limits: LimitSet {
            u_min_pu: 0.95,
            u_max_pu: 1.05,
            nodes: Vec::new(),
            branches: Vec::new(),
        },
        interface: vec![Interface {
            source: 21,
            import_price: Price(40_000_000),
            export_price: Price(20_000_000),
            import_max_w: None,
            export_max_w: None,
            scheduled: None,
            u_pu: None,
        }],
        controls: Controls::default(),
        by_phase: None,
        voltages: Vec::new(),
        start: None,
    }
}

fn rulebook() -> Rulebook {
    Rulebook {
        imbalance: Imbalance {
            short_price: Price(60_000_000),
            long_price: Price(10_000_000),
        },
        grid_fee: GridFee {
            base: Price(1_000_000),
            per_pu: Price(7_654_321),
            utilisation: 0.5,
            most: None,
        },
        ..Rulebook::default()
    }
}

/// Everything that an interval puts on record.
fn interval(draws: &mut Draws, grid: &Grid, network: Hash, start: i64, number: u64) -> Vec<Record> {
    let (case, rulebook) = (case(draws, start, number), rulebook());
    let clearing = clear(grid, &case, &rulebook.clearing).unwrap();
    let contracts = contracts(grid, &case, &clearing, &[], &rulebook);
    let meters: Vec<Meter> = clearing
        .awards
        .iter()
        .map(|award| Meter {
            party: Party::Participant(format!("p{}", award.unit)),
            unit: Some(award.unit),
            node: 3,
            delivered_wh: (award.p_w / 4.0) as i64 + draws.below(100) - 50,
            quality: MeterQuality::Metered,
        })
        .collect();
    let settlement = settle(start, &contracts, &meters, &rulebook.imbalance);
    let entries = [
        LedgerEntry::GateClosed {
            interval: start,
            network: network.to_string(),
            rulebook: Some(Box::new(rulebook)),
            pairs: Vec::new(),
            ahead: None,
            calls: None,
            case: Box::new(case),
        },
        LedgerEntry::Cleared {
            interval: start,
            clearing: Box::new(clearing),
            looked: None,
            without_calls: Vec::new(),
        },
        LedgerEntry::Contracted {
            interval: start,
            contracts,
        },
        LedgerEntry::Metered {
            interval: start,
            meters,
        },
        LedgerEntry::Settled(settlement),
    ];
    entries.into_iter().map(Record::Market).collect()
}

/// A ledger of so many intervals, a checkpoint after each.
fn recorded(state: &Path, intervals: u64, change: impl Fn(u64, &mut Vec<Record>)) {
    let network = pgm_json::read(NETWORK).unwrap();
    let json = pgm_json::write(&network);
    let grid = Grid::new(&network).unwrap();
    let ledger = Ledger::open(state).unwrap();
    let started = Record::Started {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        key: ledger.key().unwrap().public(),
    };
    let digest = Hash::of(json.as_bytes());
    let first = [started, Record::Network { digest, json }];
    ledger.append(&first, 0, true).unwrap();
    let mut draws = Draws(7);
    for k in 0..intervals {
        let start = 1_800_000_000 + 900 * i64::try_from(k).unwrap();
        let mut records = interval(&mut draws, &grid, digest, start, 1 + 3 * k);
        change(k, &mut records);
        ledger.append(&records, start * 1_000_000, true).unwrap();
    }
}

#[test]
fn a_thousand_intervals_are_computed_again_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    recorded(dir.path(), 1000, |_, _| {});
    let state = dir.path().to_str().unwrap();
    let all = busbar(&["replay", "--state", state]);
    let text = said(&all);
    assert!(all.status.success(), "{text}");
    let expected =
        "1000 clearings, 1000 sets of contracts and 1000 settlements computed again: 0 differ";
    assert!(text.contains(expected), "{text}");
    let some = busbar(&[
        "replay",
        "--state",
        state,
        "--from",
        "2027-01-15T09:00:00Z",
        "--to",
        "2027-01-15T10:00:00Z",
    ]);
    assert!(said(&some).contains("4 clearings"), "{}", said(&some));
    let verified = busbar(&["ledger", "verify", "--state", state]);
    // Two at the start, five each, and a checkpoint after all of these.
    assert!(
        said(&verified).contains("6003 records in order, 1001 checkpoints"),
        "{}",
        said(&verified)
    );
}

#[test]
fn what_was_not_computed_so_is_named() {
    let dir = tempfile::tempdir().unwrap();
    recorded(dir.path(), 4, |k, records| match (&mut records[1], k) {
        (Record::Market(LedgerEntry::Cleared { clearing, .. }), 1) => {
            clearing.awards[0].p_w += 1e-9
        }
        _ if k == 2 => {
            let Record::Market(LedgerEntry::Settled(settlement)) = &mut records[4] else {
                panic!("the last is the settlement");
            };
            settlement.statements[0].balance.0 += 1;
        }
        _ => {}
    });
    let output = busbar(&["replay", "--state", dir.path().to_str().unwrap()]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(".Ok.awards[0].p_w is"), "{text}");
    assert!(
        text.contains("settlement: .statements[0].balance is"),
        "{text}"
    );
    assert!(
        text.contains("4 settlements computed again: 2 differ"),
        "{text}"
    );
}

#[test]
fn a_network_read_back_clears_as_the_one_whose_switches_were_moved() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    let site = site::load(&file).unwrap();
    let mut moved = Grid::new(&site.network).unwrap();
    let transformer = site.network.transformer[0].id;
    for tap in [2, -3, 1] {
        moved.set_tap(transformer, tap).unwrap();
    }
    let line = site.network.line.iter().map(|line| line.id).max().unwrap();
    let (from, to) = (moved.branches[0].from_closed, moved.branches[0].to_closed);
    assert!(from && to);
    moved.set_branch_status(line, true, false).unwrap();
    moved.set_branch_status(line, true, true).unwrap();
    moved.set_branch_status(line, false, true).unwrap();
    let json = pgm_json::write(moved.network());
    let again = Grid::new(&pgm_json::read(&json).unwrap()).unwrap();
    let case = Case {
        duration_s: 900,
        fixed: site
            .loads
            .iter()
            .map(|load| NodePower {
                node: load.node,
                p_w: -load.expected_p_w,
                q_var: -load.expected_q_var,
                owner: None,
            })
            .collect(),
        units: Vec::new(),
        orders: Vec::new(),
        limits: LimitSet {
            u_min_pu: 0.9,
            u_max_pu: 1.1,
            nodes: Vec::new(),
            branches: Vec::new(),
        },
        interface: again
            .sources
            .iter()
            .map(|source| Interface {
                source: source.id,
                import_price: Price(40_000_000),
                export_price: Price(20_000_000),
                import_max_w: None,
                export_max_w: None,
                scheduled: None,
                u_pu: None,
            })
            .collect(),
        controls: Controls::default(),
        by_phase: None,
        voltages: Vec::new(),
        start: None,
    };
    let text = |grid: &Grid| {
        let clearing = clear(grid, &case, &Options::default());
        serde_json::to_string(&clearing.map_err(|error| error.to_string())).unwrap()
    };
    let built = Grid::new(&site.network).unwrap();
    assert_eq!(text(&moved), text(&again));
    assert_ne!(text(&moved), text(&built), "the positions matter");
}

#[test]
fn invoices_add_up_to_nothing_and_to_the_settlements() {
    let dir = tempfile::tempdir().unwrap();
    recorded(dir.path(), 5, |_, _| {});
    let state = dir.path().to_str().unwrap();
    let json = |arguments: &[&str]| -> serde_json::Value {
        let output = busbar(&[&["invoice", "--state", state, "--json"], arguments].concat());
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let all = json(&[]);
    let balance = |invoice: &serde_json::Value| invoice["balance_micro"].as_i64().unwrap();
    assert_eq!(all.as_array().unwrap().iter().map(balance).sum::<i64>(), 0);
    let of = |all: &serde_json::Value, name: &str| {
        let mut each = all.as_array().unwrap().iter();
        each.find(|i| i["account"] == name).cloned()
    };
    // In two parts it is the same, and each invoice's lines add up to its balance.
    let noon = "2027-01-15T08:30:00Z";
    let (early, late) = (json(&["--to", noon]), json(&["--from", noon]));
    for name in ["p101", "p102", "homes"] {
        let whole = of(&all, name).unwrap();
        let parts = [&early, &late].map(|part| of(part, name).map_or(0, |i| balance(&i)));
        assert_eq!(parts[0] + parts[1], balance(&whole), "{name}");
        let lines = whole["lines"].as_array().unwrap().iter();
        let lines: i64 = lines
            .map(|line| line["amount_micro"].as_i64().unwrap())
            .sum();
        assert_eq!(lines, balance(&whole), "{name}");
    }
    let mut balances = std::collections::BTreeMap::new();
    for row in Ledger::look(dir.path()).unwrap().rows(0).unwrap() {
        if let Ok(Record::Market(LedgerEntry::Settled(settlement))) = row.unwrap().record() {
            for of in settlement.statements {
                *balances.entry(of.party).or_insert(0) += of.balance.0;
            }
        }
    }
    let homes = balances[&Party::Participant("homes".to_owned())];
    assert_eq!(balance(&of(&all, "homes").unwrap()), homes);
    let text = said(&busbar(&[
        "invoice",
        "--state",
        state,
        "--participant",
        "homes",
    ]));
    assert!(
        text.starts_with("homes: 5 intervals") && text.contains("bought from"),
        "{text}"
    );
    let nobody = busbar(&["invoice", "--state", state, "--participant", "x"]);
    assert_eq!(nobody.status.code(), Some(1));
}

fn python(arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/verify_ledger.py");
    let mut command = Command::new("python3");
    let run = command.arg(script).args(arguments).output();
    run.expect("this test runs docs/verify_ledger.py with `python3`")
}

fn key_of(state: &Path) -> String {
    let output = busbar(&["ledger", "key", "--state", state.to_str().unwrap()]);
    said(&output).trim().to_owned()
}

/// An export of a small ledger.
fn exported(dir: &Path) -> PathBuf {
    recorded(dir, 2, |_, _| {});
    let file = dir.join("export.ndjson");
    let (state, to) = (dir.to_str().unwrap(), file.to_str().unwrap());
    let output = busbar(&["ledger", "export", "--state", state, to]);
    assert!(output.status.success(), "{}", said(&output));
    file
}

#[test]
fn a_participant_checks_an_export_with_python_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = exported(dir.path());
    let (name, key) = (file.to_str().unwrap(), key_of(dir.path()));
    let (ours, theirs) = (
        busbar(&["ledger", "verify", name, "--key", &key]),
        python(&[name, &key]),
    );
    assert!(
        ours.status.success() && theirs.status.success(),
        "{}",
        said(&theirs)
    );
    assert_eq!(said(&ours), said(&theirs));
    let stranger = "0".repeat(64);
    for output in [
        busbar(&["ledger", "verify", name, "--key", &stranger]),
        python(&[name, &stranger]),
    ] {
        assert_eq!(output.status.code(), Some(65), "{}", said(&output));
    }
    let text = fs::read(&file).unwrap();
    let mut draws = Draws(3);
    for _ in 0..30 {
        let at = usize::try_from(draws.below(text.len() as u64)).unwrap();
        let mut flipped = text.clone();
        flipped[at] ^= 1 << draws.below(8);
        fs::write(&file, &flipped).unwrap();
        for output in [busbar(&["ledger", "verify", name]), python(&[name])] {
            assert_eq!(
                output.status.code(),
                Some(65),
                "byte {at}: {}",
                said(&output)
            );
        }
    }
}

#[test]
fn looking_at_a_ledger_makes_nothing_and_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    for verb in ["verify", "key"] {
        let output = busbar(&["ledger", verb, "--state", state]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    recorded(dir.path(), 1, |_, _| {});
    fs::remove_file(dir.path().join("ledger-key")).unwrap();
    assert!(
        busbar(&["ledger", "verify", "--state", state])
            .status
            .success()
    );
    let output = busbar(&["ledger", "export", "--state", state, "-"]);
    assert_eq!(output.status.code(), Some(65));
    assert!(
        said(&output).contains("nothing can be signed"),
        "{}",
        said(&output)
    );
    assert!(!dir.path().join("ledger-key").exists());
    let _running = Ledger::open(dir.path()).unwrap();
    let output = busbar(&["ledger", "verify", "--state", state]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("while the appliance is stopped"),
        "{}",
        said(&output)
    );
}
