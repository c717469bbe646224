//! What the tests' networks and cases are put together from.

use solver::{
    market::{
        Capability, Direction, Kind, Order, OrderId, Price, Step, Terms, Unit,
        clearing::{Case, Controls, Interface, LimitSet, NodePower},
    },
    network::{Id, Line, PhaseSet, Source},
};

/// A grid above, 1 to 10 in X to R.
pub(crate) fn source(id: Id, node: Id, u_ref: f64, sk: f64) -> Source {
    Source {
        id,
        node,
        status: 1,
        u_ref,
        u_ref_angle: 0.0,
        sk,
        rx_ratio: 0.1,
        z01_ratio: None,
    }
}

/// A 20 kV line of `km` at `ohm_per_km`, and its rating, A.
pub(crate) fn line(
    id: Id,
    [from_node, to_node]: [Id; 2],
    ohm_per_km: f64,
    km: f64,
    i_n: f64,
) -> Line {
    Line {
        id,
        from_node,
        to_node,
        from_status: 1,
        to_status: 1,
        r1: ohm_per_km * km,
        x1: 0.35 * km,
        c1: 0.2e-6 * km,
        tan1: 0.0,
        r0: None,
        x0: None,
        c0: None,
        tan0: None,
        i_n: Some(i_n),
        phases: PhaseSet::ABC,
    }
}

/// A quarter of an hour with nothing in it but a grid above; voltages within 5 %.
pub(crate) fn empty(source: Id, import_price: Price, export_price: Price) -> Case {
    Case {
        duration_s: 900,
        fixed: Vec::new(),
        units: Vec::new(),
        orders: Vec::new(),
        limits: within(0.95, 1.05),
        interface: vec![Interface {
            source,
            import_price,
            export_price,
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

/// Voltage limits of all nodes, pu.
pub(crate) fn within(u_min_pu: f64, u_max_pu: f64) -> LimitSet {
    LimitSet {
        u_min_pu,
        u_max_pu,
        nodes: Vec::new(),
        branches: Vec::new(),
    }
}

/// Power outside of the market, generation-positive.
pub(crate) fn fixed(node: Id, p_w: f64, q_var: f64) -> NodePower {
    NodePower {
        node,
        p_w,
        q_var,
        owner: None,
    }
}

/// A unit of a participant, without reactive power.
pub(crate) fn unit(id: Id, participant: &str, node: Id, (p_min_w, p_max_w): (f64, f64)) -> Unit {
    Unit {
        id,
        participant: participant.to_owned(),
        node,
        capability: Capability {
            p_min_w,
            p_max_w,
            q_max_var: 0.0,
            s_max_va: None,
        },
        dispatchable: true,
    }
}

/// An order of a unit's owner.
pub(crate) fn order(
    id: u64,
    of: &Unit,
    direction: Direction,
    steps: Vec<Step>,
    kind: Kind,
) -> Order {
    Order {
        id: OrderId(id),
        client_id: id.to_string(),
        participant: of.participant.clone(),
        unit: of.id,
        interval: 0,
        direction,
        steps,
        terms: Terms {
            kind,
            ..Terms::default()
        },
    }
}
