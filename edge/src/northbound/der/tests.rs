use super::*;
use crate::{cycle::Held, store::Hold};

fn member(id: Id, p_rated_w: f64, stores: bool) -> Member {
    Member {
        id,
        p_rated_w,
        q_rated_var: 0.5 * p_rated_w,
        stores,
    }
}

/// A generator of 1 MW and a battery of 400 kW.
fn der() -> Der {
    Der {
        units: vec![member(1, 1e6, false), member(2, 4e5, true)],
        settings: BTreeMap::new(),
    }
}

/// Does it as the loop would.
fn change(der: &mut Der, holds: &mut Holds, change: Change) -> Result<(), Unfit> {
    let (next, orders) = der.changed(change, "dso", holds)?;
    *der = next;
    for Order { unit, by, hold } in orders {
        let of = (unit, Holder::Scada);
        match hold {
            Some((p_w, q_var)) => {
                let until_us = 1;
                let at = Hold {
                    p_w,
                    q_var,
                    until_us,
                };
                holds.insert(of, Held { by, at });
            }
            None => {
                holds.remove(&of);
            }
        }
    }
    Ok(())
}

fn held(holds: &Holds) -> Vec<(Id, f64, f64)> {
    let of = |((unit, _), held): (&(Id, Holder), &Held)| (*unit, held.at.p_w, held.at.q_var);
    holds.iter().map(of).collect()
}

use Change::{Enable, Set};
use Mode::{ActivePowerLimit, ChargeDischarge, ConstantVars};
use Setting::{ChargeLimit, GenerationLimit, Target, Vars};

#[test]
fn each_mode_holds_the_units_that_it_is_about_and_gives_them_back() {
    let (mut der, mut holds) = (der(), Holds::new());
    let mut does = |asked, expected: &[(Id, f64, f64)]| {
        assert_eq!(change(&mut der, &mut holds, asked), Ok(()), "{asked:?}");
        assert_eq!(held(&holds), expected, "{asked:?}");
        Mode::ALL.map(|mode| mode.is_on(&holds))
    };
    // A setting alone does nothing.
    does(Set(GenerationLimit, 300.0), &[]);
    let on = does(
        Enable(ActivePowerLimit, true),
        &[(1, 3e5, 0.0), (2, 0.0, 0.0)],
    );
    assert_eq!(on, [true, false, false]);
    does(
        Set(GenerationLimit, 250.0),
        &[(1, 2.5e5, 0.0), (2, 0.0, 0.0)],
    );
    does(Set(Target, 500.0), &[(1, 2.5e5, 0.0), (2, 0.0, 0.0)]);
    // Its target is cut by the limit, and charging by that of charging.
    let on = does(
        Enable(ChargeDischarge, true),
        &[(1, 2.5e5, 0.0), (2, 1e5, 0.0)],
    );
    assert_eq!(on, [true, true, false]);
    does(Set(Target, -800.0), &[(1, 2.5e5, 0.0), (2, -3.2e5, 0.0)]);
    does(Set(ChargeLimit, 100.0), &[(1, 2.5e5, 0.0), (2, -4e4, 0.0)]);
    does(Set(Vars, -400.0), &[(1, 2.5e5, 0.0), (2, -4e4, 0.0)]);
    let on = does(
        Enable(ConstantVars, true),
        &[(1, 2.5e5, -2e5), (2, -4e4, -8e4)],
    );
    assert_eq!(on, [true, true, true]);
    does(
        Enable(ActivePowerLimit, false),
        &[(1, 1e6, -2e5), (2, -3.2e5, -8e4)],
    );
    // Reactive power alone is the generators'.
    let on = does(Enable(ChargeDischarge, false), &[(1, 1e6, -2e5)]);
    assert_eq!(on, [false, false, true]);
    let on = does(Enable(ConstantVars, false), &[]);
    assert_eq!(on, [false; 3]);
}

#[test]
fn what_is_not_set_or_beyond_is_refused_and_changes_nothing() {
    let (mut der, mut holds) = (der(), Holds::new());
    for mode in Mode::ALL {
        let refused = change(&mut der, &mut holds, Enable(mode, true));
        assert_eq!(refused, Err(Unfit::NothingSet), "{mode:?}");
    }
    for (setting, beyond) in [
        (GenerationLimit, -1.0),
        (GenerationLimit, 1000.5),
        (ChargeLimit, -1.0),
        (Target, -1001.0),
        (Vars, f64::NAN),
        (Vars, f64::INFINITY),
    ] {
        let refused = change(&mut der, &mut holds, Set(setting, beyond));
        assert_eq!(refused, Err(Unfit::OutOfRange), "{setting:?} {beyond}");
    }
    assert!(der.settings.is_empty() && holds.is_empty());
    // A unit that is held by itself is not the DER's to give back.
    let at = Hold {
        p_w: 7.0,
        q_var: 0.0,
        until_us: 1,
    };
    let by = "dso".to_owned();
    holds.insert((1, Holder::Scada), Held { by, at });
    assert_eq!(
        change(&mut der, &mut holds, Enable(ActivePowerLimit, false)),
        Ok(())
    );
    assert_eq!(held(&holds), [(1, 7.0, 0.0)]);
}
