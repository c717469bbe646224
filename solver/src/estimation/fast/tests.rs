//! Against the orthogonal fit.

use super::*;
use crate::estimation::admittances::Admittances;
use crate::estimation::constraints::set_references;
use crate::estimation::layout::Layout;
use crate::estimation::tests_support::three_bus;
use crate::estimation::wls::Wls;
use crate::estimation::{AngleFrame, Kind, Measurement, Options, Origin, Phase, problem};
use crate::network::{PhaseGrid, S_BASE_VA};

/// Some of everything, some of it twice, none of it agreeing with the rest.
fn measurements(phases: usize) -> Vec<Measurement> {
    let (from, to) = (Side::From, Side::To);
    let p = |branch, side| Kind::BranchP { branch, side };
    let q = |branch, side| Kind::BranchQ { branch, side };
    let along = |frame, direction| Kind::CurrentAlong {
        branch: 11,
        side: from,
        frame,
        direction,
    };
    let current = Kind::BranchCurrent {
        branch: 12,
        side: from,
    };
    let seen = |node, direction| Kind::VoltageAlong { node, direction };
    let load_p = |appliance| Kind::ApplianceP { appliance };
    let load_q = |appliance| Kind::ApplianceQ { appliance };
    let i = 3.9e6 / 20e3 / 3.0_f64.sqrt();
    let kinds = [
        (Kind::Voltage { node: 0 }, 20.4e3, 60.0),
        (Kind::Voltage { node: 2 }, 10.1e3, 50.0),
        (Kind::Voltage { node: 2 }, 10.2e3, 70.0),
        (p(10, from), 1.6e6, 3e4),
        (q(10, from), 0.4e6, 3e4),
        (p(12, to), -1.5e6, 2e4),
        (current, 0.4 * i, 2.0),
        (along(AngleFrame::Local, 0.1), 0.4 * i, 3.0),
        (along(AngleFrame::Global, -0.3), 0.4 * i, 3.0),
        (Kind::VoltageAngle { node: 1 }, -0.01, 0.01),
        (seen(1, 0.5), 0.85 * 20e3, 100.0),
        (load_p(30), 1.4e6, 1e5),
        (load_q(30), 0.45e6, 1e5),
        (load_p(31), 2.1e6, 1e5),
        (load_p(31), 1.9e6, 2e5),
        (load_q(31), 0.5e6, 1e5),
        (load_p(32), 0.4e6, 2e5),
        (load_q(32), 0.1e6, 2e5),
        (Kind::NodeP { node: 2 }, -1.6e6, 1e5),
        (Kind::SourceP { source: 20 }, 3.2e6, 5e4),
    ];
    let measurement = |(kind, value, sigma): &(Kind, f64, f64), phase, by: f64| Measurement {
        kind: *kind,
        phase,
        value: value * by,
        sigma: sigma * by,
        origin: Origin::Metered,
    };
    let mut all: Vec<Measurement> = kinds
        .iter()
        .map(|k| measurement(k, Phase::Sym, 1.0))
        .collect();
    if phases == 3 {
        // More in one phase, less in another.
        all.extend(kinds[11..14].iter().map(|k| measurement(k, Phase::A, 0.4)));
        all.push(measurement(&kinds[3], Phase::C, 0.3));
    }
    all
}

fn as_the_orthogonal_fit<const P: usize, const B: usize>(by_phase: Option<&PhaseGrid>) {
    let grid = three_bus();
    let layout = Layout::new(&grid, P);
    let mut admittances = Admittances::default();
    admittances.follow(&grid, by_phase);
    let model = Model {
        grid: &grid,
        layout: &layout,
        admittances: &admittances,
    };
    let (observations, unused) = problem::observe(model, &measurements(P)).unwrap();
    assert!(unused.is_empty(), "{unused:?}");
    let constraints = Constraints::new(model, &observations);
    let options = Options {
        tolerance: 1e-12,
        ..Options::default()
    };
    let mut expected = problem::initial_state(model, &observations, None);
    set_references(model, &constraints, &mut expected);
    let mut found = expected.clone();
    let mut wls = Wls::new(model);
    let fit = wls.fit(model, &constraints, &observations, &mut expected, &options);
    assert_eq!(fit.failure, None);
    let mut fast = Fast::<P, B>::new(model, &constraints, &observations);
    fast.values(observations.iter().map(|o| o.value));
    fast.start(&found);
    fast.fit(1e-12, 40).unwrap();
    fast.finish(&mut found);
    let pairs = found.u.iter().zip(&expected.u);
    for (found, expected) in pairs.chain(found.s.iter().zip(&expected.s)) {
        assert!((found - expected).norm() < 1e-10, "{found} {expected}");
    }
    assert!(expected.s.iter().all(|s| s.norm() > 1e4 / S_BASE_VA));
}

#[test]
fn finds_what_the_orthogonal_fit_does() {
    as_the_orthogonal_fit::<1, 4>(None);
    as_the_orthogonal_fit::<3, 12>(Some(&PhaseGrid::new(&three_bus()).unwrap()));
}
