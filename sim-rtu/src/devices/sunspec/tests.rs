//! Registers as a client sees them, by name; time is injected.

use super::*;
use crate::der::FunctionId;

const PLATE: Nameplate = Nameplate {
    p_w: 100e3,
    q_var: 48.4e3,
    s_va: 111.1e3,
    ramp_w_per_s: 100e3,
};

fn device(models: &[u16]) -> (Registers, Der) {
    let identity = Identity {
        device: "pv3",
        models,
        plate: PLATE,
        u_rated_v: 20e3,
        energy_wh: models.contains(&124).then_some(400e3),
    };
    let registers = Registers::new(&identity).expect("a sane device");
    (registers, Der::new(PLATE, None, 100e3))
}

const FULL: [u16; 7] = [1, 103, 120, 121, 123, 701, 704];

fn reading(value: f64) -> Reading {
    Reading { value, exponent: 0 }
}

/// Writes like a client that knows the points' offsets: neighbouring points in one request.
fn write(
    registers: &mut Registers,
    der: &mut Der,
    model: u16,
    points: &[(&str, f64)],
    now_s: f64,
) -> Result<(), ExceptionCode> {
    let definition = protocols::modbus::sunspec::find(model).unwrap();
    let mut address = BASE + 2;
    for &id in &registers.models {
        if id == model {
            break;
        }
        let length = protocols::modbus::sunspec::find(id).unwrap().length;
        address += length + 2;
    }
    // The image itself knows how to encode: set, and read the registers back.
    let mut scratch = registers.image.clone();
    for &(point, value) in points {
        scratch.set(model, point, value).unwrap();
    }
    for &(point, _) in points {
        let point = definition.point(point).unwrap();
        let at = address + point.offset;
        let words = scratch.read(at, point.kind.size()).unwrap();
        registers.write(Table::Holding, at, &words, der, now_s)?;
    }
    Ok(())
}

#[test]
fn it_says_who_it_is_and_what_it_can() {
    let (r, _) = device(&FULL);
    assert_eq!(r.image.text(1, "SN"), "pv3");
    assert_eq!(r.image.get(120, "WRtg"), Some(100e3));
    assert_eq!(r.image.get(121, "WMax"), Some(100e3));
    assert_eq!(r.image.get(121, "VArMaxQ4"), Some(-48.4e3));
    assert_eq!(r.image.get(123, "Conn"), Some(1.0));
    assert_eq!(r.image.get(704, "WMaxLimPct"), Some(100.0));
}

#[test]
fn measurements_are_in_model_103_and_701() {
    let (mut r, _) = device(&FULL);
    let measured = Measured {
        p: reading(81_230.0),
        q: reading(-12_340.0),
        u: reading(20_412.0),
        i: reading(2.32),
        f: reading(50.0),
        given_wh: 1234.9,
        taken_wh: 7.0,
        ..Measured::default()
    };
    r.measure(&measured, false).unwrap();
    assert_eq!(r.image.get(103, "W"), Some(81_230.0));
    assert_eq!(r.image.get(103, "VAr"), Some(-12_340.0));
    assert_eq!(r.image.get(103, "PPVphBC"), Some(20_412.0));
    assert_eq!(r.image.get(103, "AphB"), Some(2.32));
    assert_eq!(r.image.get(103, "Hz"), Some(50.0));
    assert_eq!(r.image.get(103, "WH"), Some(1234.0));
    assert_eq!(r.image.get(103, "St"), Some(MPPT));
    assert_eq!(r.image.get(701, "W"), Some(81_230.0));
    assert_eq!(r.image.get(701, "TotWhAbs"), Some(7.0));
    r.measure(&measured, true).unwrap();
    assert_eq!(r.image.get(103, "St"), Some(THROTTLED));
}

#[test]
fn a_scale_fault_is_a_wrong_scale_factor() {
    let (mut r, _) = device(&FULL);
    let mut measured = Measured {
        p: reading(81_230.0),
        u: reading(20_000.0),
        ..Measured::default()
    };
    measured.p.exponent = 1;
    r.measure(&measured, false).unwrap();
    assert_eq!(r.image.get(103, "W"), Some(812_300.0));
    assert_eq!(r.image.get(103, "PPVphAB"), Some(20_000.0));
    measured.p.exponent = 0;
    r.measure(&measured, false).unwrap();
    assert_eq!(r.image.get(103, "W"), Some(81_230.0));
}

#[test]
fn measurements_are_floats_in_model_113() {
    let (mut r, _) = device(&[1, 113, 120, 121, 123]);
    let mut measured = Measured {
        p: reading(81_230.5),
        u: reading(20_412.0),
        i: reading(2.25),
        given_wh: 1234.9,
        ..Measured::default()
    };
    r.measure(&measured, false).unwrap();
    for (point, expected) in [
        ("W", 81_230.5),
        ("PPVphCA", 20_412.0),
        ("AphC", 2.25),
        ("A", 6.75),
        ("WH", 1234.0),
        ("St", MPPT),
    ] {
        assert_eq!(r.image.get(113, point), Some(expected), "{point}");
    }
    measured.p.exponent = 1;
    r.measure(&measured, false).unwrap();
    assert_eq!(r.image.get(113, "W"), Some(812_305.0));
}

#[test]
fn readings_beyond_the_registers_stay_at_their_end() {
    let (mut r, _) = device(&FULL);
    let measured = Measured {
        p: reading(-1e12),
        q: reading(1e12),
        u: reading(1e12),
        i: reading(1e12),
        f: reading(-1e12),
        soc: reading(7.0),
        ..Measured::default()
    };
    r.measure(&measured, false).expect("clamped");
    assert_eq!(r.image.get(103, "W"), Some(-327_670.0));
}

#[test]
fn a_leased_limit_of_704_ends_in_its_reversion_value() {
    let (mut r, mut der) = device(&FULL);
    let lease = [
        ("WMaxLimPctRvrt", 40.0),
        ("WMaxLimPctEnaRvrt", 1.0),
        ("WMaxLimPctRvrtTms", 15.0),
        ("WMaxLimPct", 62.5),
        ("WMaxLimPctEna", 1.0),
    ];
    write(&mut r, &mut der, 704, &lease, 100.0).unwrap();
    r.tick(&mut der, 100.5).unwrap();
    assert_eq!(der.effective(100.5).limit_w, Some(62_500.0));
    assert_eq!(r.image.get(704, "WMaxLimPctRvrtRem"), Some(15.0));
    r.tick(&mut der, 115.0).unwrap();
    assert_eq!(der.effective(115.0).limit_w, Some(40_000.0));
    assert_eq!(r.image.get(704, "WMaxLimPct"), Some(40.0));
    assert_eq!(r.image.get(704, "WMaxLimPctEna"), Some(1.0));
    assert_eq!(r.image.get(704, "WMaxLimPctRvrtRem"), Some(0.0));
}

#[test]
fn every_leased_set_value_of_704_shows_what_it_reverted_to() {
    for (function, mode, value, back) in [
        ("WSet", 1.0, 70e3, 20e3),
        ("VarSet", 4.0, -9e3, 3e3),
        ("WSetPct", 0.0, 70.0, 20.0),
        ("VarSetPct", 1.0, -9.0, 3.0),
    ] {
        let (mut r, mut der) = device(&FULL);
        let name = function.trim_end_matches("Pct");
        let point = |end: &str| format!("{name}{end}");
        let lease = [
            (point("Mod"), mode),
            (format!("{function}Rvrt"), back),
            (point("EnaRvrt"), 1.0),
            (point("RvrtTms"), 15.0),
            (function.to_owned(), value),
            (point("Ena"), 1.0),
        ];
        let lease: Vec<_> = lease.iter().map(|(name, v)| (name.as_str(), *v)).collect();
        write(&mut r, &mut der, 704, &lease, 0.0).unwrap();
        r.tick(&mut der, 14.9).unwrap();
        assert_eq!(r.image.get(704, function), Some(value), "{function}");
        r.tick(&mut der, 15.0).unwrap();
        assert_eq!(r.image.get(704, function), Some(back), "{function}");
        assert_eq!(r.image.get(704, &point("Ena")), Some(1.0), "{function}");
    }
}

#[test]
fn a_leased_limit_of_123_ends_in_no_limit() {
    let (mut r, mut der) = device(&[1, 103, 123]);
    let lease = [
        ("WMaxLimPct", 30.0),
        ("WMaxLimPct_RvrtTms", 15.0),
        ("WMaxLim_Ena", 1.0),
    ];
    write(&mut r, &mut der, 123, &lease, 0.0).unwrap();
    assert_eq!(der.effective(1.0).limit_w, Some(30_000.0));
    r.tick(&mut der, 15.0).unwrap();
    assert_eq!(der.effective(15.0).limit_w, None);
    assert_eq!(r.image.get(123, "WMaxLim_Ena"), Some(0.0));
}

#[test]
fn modes_of_reactive_power_refer_to_what_they_say() {
    let (mut r, mut der) = device(&FULL);
    let by_w = [
        ("VArWMaxPct", -20.0),
        ("VArPct_Mod", 1.0),
        ("VArPct_Ena", 1.0),
    ];
    write(&mut r, &mut der, 123, &by_w, 0.0).unwrap();
    assert_eq!(der.effective(0.0).q_set_var, Some(-20_000.0));
    let by_var = [("VArMaxPct", 50.0), ("VArPct_Mod", 2.0)];
    write(&mut r, &mut der, 123, &by_var, 0.0).unwrap();
    assert_eq!(der.effective(0.0).q_set_var, Some(24_200.0));
    let direct = [("VarSet", -1234.0), ("VarSetMod", 4.0), ("VarSetEna", 1.0)];
    write(&mut r, &mut der, 704, &direct, 0.0).unwrap();
    assert_eq!(
        der.effective(0.0).q_set_var,
        Some(-1234.0),
        "704 outranks 123"
    );
}

#[test]
fn storage_of_model_124_reverts_to_its_own_ways() {
    let (mut r, mut der) = device(&[1, 103, 120, 124]);
    let set = [
        ("OutWRte", 20.0),
        ("InWRte", -20.0),
        ("InOutWRte_RvrtTms", 10.0),
        ("StorCtl_Mod", 3.0),
    ];
    write(&mut r, &mut der, 124, &set, 0.0).unwrap();
    let orders = der.effective(0.0);
    assert_eq!(orders.limit_w, Some(20_000.0));
    assert_eq!(orders.floor_w, Some(20_000.0));
    r.tick(&mut der, 10.0).unwrap();
    assert_eq!(der.effective(10.0).limit_w, None);
    assert_eq!(r.image.get(124, "StorCtl_Mod"), Some(0.0));
}

#[test]
fn what_it_cannot_do_is_refused_and_changes_nothing() {
    let (mut r, mut der) = device(&FULL);
    let before = r.image.read(BASE, 200);
    let value = Err(ExceptionCode::IllegalDataValue);
    let nowhere = Err(ExceptionCode::IllegalDataAddress);
    let mut try_it = |model, points: &[(&str, f64)]| write(&mut r, &mut der, model, points, 0.0);
    assert_eq!(try_it(704, &[("WMaxLimPct", 120.0)]), value);
    assert_eq!(try_it(704, &[("WMaxLimPctEna", 7.0)]), value);
    assert_eq!(try_it(123, &[("VArPct_Mod", 3.0)]), value);
    assert_eq!(
        try_it(121, &[("WMax", 200e3)]),
        nowhere,
        "a setting nothing obeys"
    );
    assert_eq!(try_it(704, &[("AntiIslEna", 1.0)]), nowhere);
    let words = [0u16; 1];
    let coil = r.write(Table::Coil, BASE, &words, &mut der, 0.0);
    assert_eq!(coil, Err(ExceptionCode::IllegalFunction));
    assert_eq!(r.image.read(BASE, 200), before);
    assert_eq!(der.effective(0.0).limit_w, None);
    assert!(!der.function(FunctionId::Limit704).setting().enabled);
}

#[test]
fn the_ramp_of_704_slows_increases() {
    let (mut r, mut der) = device(&FULL);
    write(&mut r, &mut der, 704, &[("WRmp", 5.0)], 0.0).unwrap();
    assert_eq!(der.ramp_up_w_per_s, Some(5_000.0));
}
