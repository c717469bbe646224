//! What the made-up loop shows: two devices, three nodes, one open interval.

use std::{path::Path, sync::Arc};

use edge::{
    participants::Register,
    published::{Published, Upwards},
    web::api::*,
};

use super::appliance::START;

pub(crate) fn explanation() -> ExplanationView {
    let relief = ReliefView {
        unit: "A".to_owned(),
        worth_per_h: 0.17,
    };
    ExplanationView {
        interval: START.to_owned(),
        unit: 93,
        node: 3,
        p_w: 80e3,
        q_var: -10e3,
        price: PricePartsView {
            per_mwh: 36.7,
            energy_per_mwh: 50.0,
            loss_per_mwh: -0.3,
            rest_per_mwh: 0.0,
        },
        steps: vec![StepView {
            order: 1,
            direction: "sell".to_owned(),
            quantity_w: 100_000,
            taken_w: 80e3,
            limit_per_mwh: 36.7,
            verdict: "sets_the_price".to_owned(),
        }],
        limits: vec![LimitPartView {
            text: "rated current of branch 15".to_owned(),
            bound: 145.0,
            value: 145.0,
            per_mwh: -13.0,
            share: 1.0,
            relief: relief.clone(),
            behind: None,
        }],
        own_relief: vec![relief],
        text: vec!["unit PV 3 delivers 80.0 kW".to_owned()],
    }
}

/// Who takes part, by the example's site file.
fn register() -> Register {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
    Register::new(&edge::site::load(&file).unwrap())
}

fn network() -> NetworkView {
    let node = |id: i32, source| NodeView {
        id,
        name: format!("Bus {id}"),
        u_rated_v: 20e3,
        u_min_pu: 0.95,
        u_max_pu: 1.05,
        x: f64::from(id),
        y: 1.0,
        source,
    };
    NetworkView {
        nodes: vec![node(1, true), node(2, false), node(3, false)],
        branches: vec![BranchView {
            id: 15,
            name: "Line 1-2".to_owned(),
            kind: "line".to_owned(),
            from: 1,
            to: 2,
            i_n_a: Some(145.0),
            s_n_va: None,
        }],
        units: vec![UnitView {
            id: 93,
            name: "PV 3".to_owned(),
            kind: "pv".to_owned(),
            node: 3,
            participant: "prosumers".to_owned(),
            device: Some("pv3".to_owned()),
            p_rated_w: 100e3,
            q_rated_var: 48.4e3,
            phase: None,
        }],
    }
}

pub(crate) fn point(id: &str, value: f64) -> PointView {
    PointView {
        id: id.to_owned(),
        value: Some(PointValue::Number(value)),
        unit: "W".to_owned(),
        quality: vec![],
        time: Some(START.to_owned()),
        time_quality: Some("received".to_owned()),
        received: Some(START.to_owned()),
    }
}

fn device(id: &str) -> DeviceView {
    DeviceView {
        id: id.to_owned(),
        profile: "sunspec".to_owned(),
        address: "127.0.0.1:15093".to_owned(),
        state: "online".to_owned(),
        error: None,
        since: START.to_owned(),
        description: None,
        polls: 1,
        poll_ms: Some(2.0),
        late_ms: None,
    }
}

pub(crate) fn interval(start: &str, phase: &str) -> IntervalView {
    IntervalView {
        start: start.to_owned(),
        end: start.to_owned(),
        gate_closure: start.to_owned(),
        phase: phase.to_owned(),
        status: Some("optimal".to_owned()),
        message: None,
        orders: 1,
        cost_per_h: Some(585.58),
        import_w: Some(1e6),
        import_var: None,
        prices: vec![PriceView {
            node: 3,
            p_per_mwh: 50.0,
            q_per_mvarh: 0.0,
        }],
        phase_prices: vec![],
        binding: vec![],
        awards: vec![],
        ac_check: None,
        ahead: None,
        took_us: Some(900),
        contracts: vec![],
        reactive: vec![],
        settlement: vec![],
        calls: vec![],
        corrections: vec![],
    }
}

fn status() -> Status {
    let now = || START.to_owned();
    Status {
        version: "0.1.0".to_owned(),
        site: "Made up".to_owned(),
        currency: "EUR".to_owned(),
        now: now(),
        started: now(),
        health: Health::Ok,
        reasons: vec![],
        devices: 2,
        devices_online: 2,
        linked_above: None,
        interval_s: 10,
        interval: now(),
        next_interval: now(),
        gate_closure: now(),
        decided: Some(now()),
        estimated: Some(now()),
        metrics: Metrics::default(),
    }
}

fn estimate() -> NetworkState {
    NetworkState {
        time: START.to_owned(),
        estimate: EstimateView {
            ok: true,
            error: None,
            objective: 3.0,
            threshold: 9.0,
            degrees_of_freedom: 4,
            metered: 6,
            pseudo: 1,
            iterations: 3,
            took_us: 200,
        },
        nodes: vec![],
        branches: vec![],
        units: vec![],
        rejected: vec![],
        loss_w: 10.0,
    }
}

pub(crate) fn state() -> Published {
    let setpoint = DispatchView {
        unit: 93,
        device: "pv3".to_owned(),
        interval: START.to_owned(),
        origin: "market".to_owned(),
        p_kind: "limit".to_owned(),
        p_w: 50e3,
        q_var: 0.0,
        fallback_p_w: 40e3,
        expires: START.to_owned(),
        status: "verified".to_owned(),
        message: None,
        readback_p_w: Some(50e3),
        readback_q_var: None,
    };
    let alarm = |id| AlarmView {
        id,
        severity: "warning".to_owned(),
        code: "bad_data".to_owned(),
        source: "pv3/p".to_owned(),
        text: "pv3/p is not believed".to_owned(),
        since: START.to_owned(),
        cleared: None,
        acknowledged_by: None,
    };
    let agents = OrderView {
        id: 1,
        client_id: "agent-93".to_owned(),
        participant: "prosumers".to_owned(),
        unit: 93,
        node: 3,
        interval: START.to_owned(),
        direction: "sell".to_owned(),
        steps: vec![OrderStep {
            quantity_w: 100_000,
            price_per_mwh: 20.0,
        }],
        kind: OrderKind::default(),
        must: false,
        counterparty: None,
        placed_by: "agent".to_owned(),
        state: "accepted".to_owned(),
        awarded_w: None,
        taken_wh: None,
        receipt: None,
    };
    let interval = |start, phase| Arc::new(interval(start, phase));
    Published {
        status: Arc::new(status()),
        network: Arc::new(network()),
        register: Arc::new(register()),
        devices: Arc::new(vec![device("pv3"), device("pv33")]),
        points: Arc::new(vec![
            point("pv3/p", 1.0),
            point("pv3/q", 2.0),
            point("pv33/p", 3.0),
        ]),
        network_state: Some(Arc::new(estimate())),
        intervals: Arc::new(vec![
            interval(START, "open"),
            interval("2026-06-21T11:59:50Z", "delivering"),
        ]),
        orders: Arc::new(vec![agents]),
        dispatch: Arc::new(vec![setpoint]),
        alarms: Arc::new(vec![alarm(8), alarm(7)]),
        snapshot: Arc::default(),
        holds: Arc::default(),
        held: Arc::default(),
        breakers: Arc::new(vec![BreakerView {
            breaker: "rtu1/bay1_breaker".to_owned(),
            closed: Some(true),
        }]),
        above: Some(Upwards {
            view: Arc::new(above()),
            outbox: Arc::default(),
        }),
        area: None,
    }
}

fn above() -> AboveView {
    let award = AboveAwardView {
        sequence: 1,
        exchange_w: -20_000,
        called_w: None,
        price_per_mwh: 47.5,
        grid_fee_per_mwh: 2.0,
        q_var: 100,
        u_pu: Some(1.0125),
        import_max_w: 1_000_000,
        export_max_w: 500_000,
        limits: vec!["rated current of branch 7 at its from side".to_owned()],
        unused: None,
    };
    let corner = |exchange_w, price_per_mwh| CornerView {
        exchange_w,
        price_per_mwh,
        q_var: 0,
    };
    AboveView {
        endpoint: "opc.tcp://192.0.2.1:4840".to_owned(),
        tenant: "north".to_owned(),
        connected: false,
        since: START.to_owned(),
        reason: Some("no route".to_owned()),
        clock_ms: Some(-12),
        certificate_days: Some(300),
        fallback: "zero".to_owned(),
        unsent: 1,
        intervals: vec![AboveIntervalView {
            start: START.to_owned(),
            offer: vec![corner(-50_000, 60.0), corner(10_000, 0.0)],
            voltage: Some(VoltageView {
                r_ohm: 0.4,
                x_ohm: 1.25,
                corners: vec![VoltageCornerView {
                    u_pu: 0.98,
                    cost_per_h: 0.5,
                }],
            }),
            forecast_w: Some(0),
            q_min_var: Some(-1_000),
            q_max_var: Some(1_000),
            awards: vec![award],
            basis: Some("award".to_owned()),
            award: Some(1),
            exchange_w: Some(-20_000),
            price_per_mwh: Some(47.5),
            import_wh: None,
            export_wh: None,
            replaced: None,
            refused: Vec::new(),
            hash: None,
            agreed: None,
        }],
    }
}
