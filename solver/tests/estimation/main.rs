//! The estimator through its public interface: power-grid-model's answers, hand calculations,
//! and statistics of seeded noise and gross errors on the CIGRE medium-voltage network.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it is"
)]

mod bad_data;
mod by_hand;
mod by_phase;
mod case;
mod feeder;
mod golden;
mod hints;
mod large;
mod links;
mod random;
mod random_draws;
mod sources;
mod statistics;
mod switches;
mod tracking;
mod unbalanced;
