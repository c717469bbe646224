//! A feeder whose phases differ.

use super::*;

fn noon() -> Substation {
    let mut substation = built("ieee13.toml");
    run(&mut substation, 2.0, 0.25);
    substation
}

fn reading(substation: &Substation, point: &str) -> f64 {
    let readings = substation.readings(index(substation, "rtu")).unwrap();
    number(*readings.get(point).unwrap_or_else(|| panic!("no {point}")))
}

fn phases(substation: &Substation, node: Id) -> [Option<f64>; 3] {
    let nodes = substation.truth(substation.now_s).nodes;
    let node = nodes.into_iter().find(|of| of.id == node).unwrap();
    node.u_phases_pu.unwrap()
}

#[test]
fn the_sun_of_a_phase_lifts_that_phase() {
    let substation = noon();
    let [a, b, c] = phases(&substation, 13);
    assert_eq!((a, b), (None, None), "node 13 has phase c alone");
    assert!(c.unwrap() > 1.0525, "{c:?}");
    let row = substation.history().last().unwrap();
    assert!(row.u_max >= c.unwrap() - 1e-12 && row.converged);
    // Without its 400 kW. By hand, of the line's impedances per unit of length and a current in phase c alone,
    // in phase with its voltage: c moves by r_cc = 0.129, a by -r_ca / 2 - 0.866 x_ca = -0.169, b by
    // -r_cb / 2 + 0.866 x_cb = 0.097.
    let before = phases(&substation, 5);
    let mut substation = substation;
    substation.physics.set_appliance(501, 0.0, 0.0).unwrap();
    substation.physics.step(3.0);
    let after = phases(&substation, 5);
    let moved = [0, 1, 2].map(|k| after[k].unwrap() - before[k].unwrap());
    assert!(moved[2] < -0.015, "{moved:?}");
    let (a, b) = (moved[0] / moved[2], moved[1] / moved[2]);
    assert!(
        (a + 0.169 / 0.129).abs() < 0.07 && (b - 0.097 / 0.129).abs() < 0.07,
        "{moved:?}"
    );
}

/// What flows into a lateral of one node is what is drawn and fed there, phase by phase: node 9 has 34.5 kW
/// and 19.8 kvar of load in b and in c, and 400 kW of sun in b. The line to it loses a little.
#[test]
fn bays_measure_each_phase() {
    let substation = noon();
    let p = |phase| reading(&substation, &format!("bay8_p_{phase}"));
    let q = |phase| reading(&substation, &format!("bay8_q_{phase}"));
    assert!((p("b") - (34.5e3 - 400e3)).abs() < 8e3, "{}", p("b"));
    assert!((p("c") - 34.5e3).abs() < 3e3, "{}", p("c"));
    assert!((q("c") - 19.8e3).abs() < 3e3, "{}", q("c"));
    let readings = substation.readings(index(&substation, "rtu")).unwrap();
    assert!(
        !readings.contains_key("bay8_p_a"),
        "the lateral has no phase a"
    );
    // To neutral, and as the registers have it.
    let rated = 4160.0 / 3_f64.sqrt();
    let u = reading(&substation, "bay8_u_b");
    let [_, b, _] = phases(&substation, 8);
    assert!((u / rated / b.unwrap() - 1.0).abs() < 0.006, "{u}");
    let i = reading(&substation, "bay8_i_b");
    let s = p("b").hypot(q("b"));
    assert!((i * u / s - 1.0).abs() < 0.03, "{i}");
}

#[test]
fn an_inverter_of_one_phase_shows_that_and_no_other() {
    let substation = noon();
    let device = index(&substation, "pv1");
    // Model 101 follows model 1: A at 0, AphA, AphB, AphC, A_SF, PPVph, PhVphA at 8, then V_SF at 11, W, W_SF.
    let words = substation.read(device, Table::Holding, BASE + 2 + 68, 16);
    let words = words.unwrap();
    assert_eq!(words[0], 101);
    let at = |k: usize| words[2 + k];
    let scaled = |k: usize, sf: usize| f64::from(at(k)) * 10_f64.powi(i32::from(at(sf) as i16));
    let (i, u, w) = (scaled(1, 4), scaled(8, 11), scaled(12, 13));
    let [_, _, c] = phases(&substation, 13);
    assert!(
        (u / (4160.0 / 3_f64.sqrt()) / c.unwrap() - 1.0).abs() < 0.01,
        "{u}"
    );
    assert!((i * u / w - 1.0).abs() < 0.03, "{i} A, {u} V, {w} W");
    let none = 0xFFFF;
    assert_eq!([at(2), at(3), at(5), at(9), at(10)], [none; 5]);
}
