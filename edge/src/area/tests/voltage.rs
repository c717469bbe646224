//! What a voltage is worth to a tenant, and which is planned for it, as the public API shows them.

use super::*;
use crate::{area::view::deals, web::api::VoltageCornerView};

/// A higher voltage behind south costs it something; north says nothing of it.
#[test]
fn what_a_voltage_is_worth_is_shown_and_what_is_planned() {
    let mut market = market();
    for (tenant, document) in offers() {
        let Up::Offer(mut of) = document else {
            unreachable!("offers are offers")
        };
        of.voltage = (tenant == "south").then(|| Voltage {
            r_ohm: 0.5,
            x_ohm: 1.25,
            corners: vec![(990_000, 0), (1_010_000, 2_500_000)],
        });
        market.submit(tenant, Up::Offer(of), OPEN).unwrap();
    }
    assert!(market.step(GATE).awarded);
    let shown = deals(market.setup(), &market.book().intervals[&START]);
    let of = |tenant: &str| shown.iter().find(|deal| deal.tenant == tenant).unwrap();
    let voltage = of("south").voltage.as_ref().unwrap();
    assert_eq!((voltage.r_ohm, voltage.x_ohm), (0.5, 1.25));
    let corner = |u_pu, cost_per_h| VoltageCornerView { u_pu, cost_per_h };
    assert_eq!(voltage.corners, [corner(0.99, 0.0), corner(1.01, 2.5)]);
    // South gives 1.5 MW behind a line of 1 ohm at 20 kV: about 0.4 % above the source, less what its own exchange
    // lifts behind the impedance that it computes with.
    let planned = of("south").award.as_ref().unwrap().u_pu.unwrap();
    assert!((0.999..1.005).contains(&planned), "{planned}");
    let award = market
        .book()
        .deal(START, "south")
        .and_then(|deal| deal.award.as_ref());
    assert_eq!(award.unwrap().u_ppm, Some((planned * 1e6).round() as i64));
    assert_eq!(of("north").voltage, None);
    assert_eq!(of("north").award.as_ref().unwrap().u_pu, None);
}
