//! Against pandapower's AC optimal power flow: its optimum of the CIGRE network at two moments.
//! Its two starts differ by 4e-6 of the objective, so that agreement cannot be closer.

use solver::market::clearing::{Clearing, Limit, Options, Status, clear};

use crate::feeder::{self, Reference};

fn compare(reference: &Reference) -> Clearing {
    let Reference {
        about,
        case,
        expected,
    } = reference;
    let clearing = clear(&feeder::network(), case, &Options::default()).unwrap();
    assert_eq!(clearing.status, Status::Optimal, "{about}");
    let gap = clearing.cost_per_h / expected.cost_per_h - 1.0;
    assert!(
        gap.abs() < 1e-4,
        "{about}: {} per h, {gap:e} off",
        clearing.cost_per_h
    );
    for (found, expected) in clearing.prices.iter().zip(&expected.prices) {
        assert_eq!(found.node, expected.node);
        let (p, q) = (
            found.p_per_mwh / expected.p - 1.0,
            found.q_per_mvarh - expected.q,
        );
        assert!(
            p.abs() < 0.005,
            "{about}: price at node {}: {found:?}",
            found.node
        );
        // Reactive prices are near nothing; in currency per Mvarh against 50 per MWh.
        assert!(
            q.abs() < 0.005,
            "{about}: reactive price at node {}: {found:?}",
            found.node
        );
    }
    for (found, expected) in clearing.awards.iter().zip(&expected.units) {
        assert_eq!(found.unit, expected.unit);
        let p = found.p_w * 1e-6 - expected.p_mw;
        assert!(
            p.abs() < 0.002,
            "{about}: award {found:?}, {} MW expected",
            expected.p_mw
        );
    }
    let import = clearing.exchange[0];
    assert!(
        (import.p_w * 1e-6 - expected.import_mw).abs() < 0.002,
        "{about}: {import:?}"
    );
    assert!(
        (import.q_var * 1e-6 - expected.import_mvar).abs() < 0.02,
        "{about}: {import:?}"
    );
    let check = &clearing.ac_check;
    assert!(
        check.violation_u_pu < 1e-4 && check.violation_rating < 1e-3,
        "{check:?}"
    );
    assert!(
        (check.u_min_pu.1 - expected.u_min_pu).abs() < 1e-4,
        "{check:?}"
    );
    assert!(
        (check.u_max_pu.1 - expected.u_max_pu).abs() < 1e-4,
        "{check:?}"
    );
    assert!(check.power_gap_w < 1.0, "{check:?}");
    assert!(check.model_gap_w < 100.0, "{check:?}");
    clearing
}

#[test]
fn der_as_published() {
    let clearing = compare(&feeder::der_all());
    assert_eq!(clearing.binding, []);
}

#[test]
fn der_times_five_binds_a_voltage_and_a_current() {
    let reference = feeder::stressed();
    let clearing = compare(&reference);
    let limits: Vec<Limit> = clearing.binding.iter().map(|of| of.limit).collect();
    assert!(limits.contains(&Limit::UMax { node: 7 }), "{limits:?}");
    // line 2-3 is id 16
    let is_line_2_3 = |limit: &Limit| matches!(limit, Limit::Current { branch: 16, .. });
    assert!(limits.iter().any(is_line_2_3), "{limits:?}");
    // The wind plant sets the price where it stands: it is taken in part.
    let wind = clearing
        .prices
        .iter()
        .find(|price| price.node == 7)
        .unwrap();
    assert!((wind.p_per_mwh - 36.666667).abs() < 1e-3, "{wind:?}");
    // Reactive power is worth the same to every unit of a node, so none is a profile of its own.
    for (award, expected) in clearing.awards.iter().zip(&reference.expected.units) {
        if award.unit == 101 {
            let expected = expected.q_mvar.unwrap();
            assert!(
                (award.q_var * 1e-6 - expected).abs() < 0.005,
                "{award:?} {expected}"
            );
        }
    }
}
