//! The fast fit: weighted least squares from the augmented equations, in blocks along the network.
//!
//! Hachtel's augmented matrix with the injections as equations (Abur and Gómez-Expósito, sections 3.5
//! and 3.6; Wu, Liu and Lun, "Observability analysis and bad data processing for state estimation using
//! Hachtel's augmented matrix method", 1988): unknowns per node are the relative changes of its
//! voltages, `z = dln v + j dθ`, and the multipliers `λ` of its injections. One Gauss-Newton step is
//!
//! ```text
//! [ G   Cᵀ ] [ dz ]     [ Hᵀ W (h(x) - y) + Cᵀ λ ]
//! [ C  -R  ] [ dλ ] = - [ s(x) - s - R λ          ]
//! ```
//!
//! with `G = Hᵀ W H` of voltages and branch flows, `C` the derivative of the injections `s(x)` and `R`
//! their variances, zero where nothing is connected. Everything couples only the ends of a branch, so
//! the pattern is that of the network, not of its square as in normal equations.
//!
//! The factor only steers: the right-hand side is exact at every step, flows from voltage differences.
//! So the same factor serves as long as the steps shrink fast enough with it, across calls as well, and
//! a copy of it in single precision where that shrinks them enough. Where it does not converge, and for all that is
//! statistics, there is the orthogonal fit next door.

mod assemble;
mod chord;
mod course;
mod evaluate;
mod flat;
mod forecast;
mod network;
mod origin;
#[cfg(test)]
mod tests;
mod wear;

pub(super) use chord::{Augmented, Outcome, Stuck};
pub(super) use flat::{Admittance, End, Fixed, Flat, Flow, FlowKind, Gauss, TwoPort, Voltage};
