//! Participants that are settled above: what of an interval's settlement passes up with its total.

use protocols::opcua::message::Aggregated;
use solver::market::Settlement;

/// Adds what passes up by a settlement, or by a correction of one, to what did before; by name.
pub fn add(aggregators: &mut Vec<Aggregated>, settlement: &Settlement) {
    for (name, (delivered_wh, owed)) in settlement.passed_up() {
        let place = aggregators.binary_search_by(|of| of.name.as_str().cmp(name));
        let at = place.unwrap_or_else(|at| {
            let none = Aggregated {
                name: name.to_owned(),
                delivered_wh: 0,
                amount: 0,
            };
            aggregators.insert(at, none);
            at
        });
        let of = &mut aggregators[at];
        of.delivered_wh = of.delivered_wh.saturating_add(delivered_wh);
        of.amount = of.amount.saturating_add(owed.0);
    }
}

/// What passes up by all settlements and corrections of an interval.
pub fn of<'s>(settlements: impl IntoIterator<Item = &'s Settlement>) -> Vec<Aggregated> {
    let mut aggregators = Vec::new();
    for settlement in settlements {
        add(&mut aggregators, settlement);
    }
    aggregators
}
