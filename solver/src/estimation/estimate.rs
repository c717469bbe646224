//! What the estimator answers, in SI. Quantities are three-phase and line-to-line in the symmetrical
//! form; in that by phase there is one for each of a, b, c, voltages line-to-neutral.

use std::fmt;

use num_complex::Complex64;

use super::{Form, Kind, Origin, Phase, Sym};
use crate::network::{Id, Side};

/// An estimated figure and its standard deviation, same unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    /// Estimate.
    pub value: f64,
    /// Standard deviation of the estimate, from the gain matrix.
    pub sigma: f64,
}

/// State of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeEstimate<F: Form = Sym> {
    /// Node.
    pub id: Id,
    /// Connected to a source. If not, voltage and injection are zero and certain.
    pub energised: bool,
    /// Voltage, V; none: not observable.
    pub u: F::Of<Option<Quantity>>,
    /// Voltage angle against the source of its island, rad; none: not observable.
    pub angle: F::Of<Option<Quantity>>,
    /// Active power injected by sources, loads and generators, generation-positive, W.
    pub p: F::Of<Option<Quantity>>,
    /// Reactive power injected by sources, loads and generators, generation-positive, var.
    pub q: F::Of<Option<Quantity>>,
    /// The voltage is known only thanks to pseudo-measurements: meters alone do not determine it.
    pub rests_on_pseudo: bool,
}

/// Flow into a branch at one end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndEstimate {
    /// Active power into the branch, W.
    pub p: Quantity,
    /// Reactive power into the branch, var.
    pub q: Quantity,
    /// Current magnitude, A.
    pub i: Quantity,
}

/// State of a branch.
#[derive(Clone, Debug, PartialEq)]
pub struct BranchEstimate<F: Form = Sym> {
    /// Branch.
    pub id: Id,
    /// From side; none: not observable. Zero where open or de-energised.
    pub from: F::Of<Option<EndEstimate>>,
    /// To side; none: not observable. Zero where open or de-energised.
    pub to: F::Of<Option<EndEstimate>>,
    /// Largest of current / rated current (of any phase), and for transformers of apparent / rated
    /// power (of all phases), as a fraction of one; none: not observable or not rated.
    pub loading: Option<f64>,
}

/// Power of a load (load-positive) or generator (generation-positive).
#[derive(Clone, Debug, PartialEq)]
pub struct ApplianceEstimate<F: Form = Sym> {
    /// Load or generator.
    pub id: Id,
    /// Active power, W; none: not observable.
    pub p: F::Of<Option<Quantity>>,
    /// Reactive power, var; none: not observable.
    pub q: F::Of<Option<Quantity>>,
    /// `Metered`: active and reactive power are measured, by meters not rejected. `Pseudo`: at
    /// least one of them is a guess. None: at least one has no measurement and follows from
    /// the rest of the network.
    pub origin: Option<Origin>,
}

/// Power a source feeds in, generation-positive.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceEstimate<F: Form = Sym> {
    /// Source.
    pub id: Id,
    /// Active power, W; none: not observable, as when nothing tells it from that of another source
    /// at the same node.
    pub p: F::Of<Option<Quantity>>,
    /// Reactive power, var; none as for `p`.
    pub q: F::Of<Option<Quantity>>,
}

/// What a rejected value looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Suspicion {
    /// The negative of what it should be: transducer or import/export direction reversed.
    SignFlipped,
    /// This power of ten times what it should be: wrong scale factor or unit.
    ScaleFactor(f64),
    /// Neither of these.
    GrossError,
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignFlipped => f.write_str("sign flipped"),
            Self::ScaleFactor(factor) => write!(f, "scale factor wrong by {factor}"),
            Self::GrossError => f.write_str("gross error"),
        }
    }
}

/// A meter's value found to be bad data and left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// Position in the measurements.
    pub index: usize,
    /// The phase that showed it.
    pub phase: Phase,
    /// Measured, SI, of that phase.
    pub measured: f64,
    /// What the other measurements say it should be, SI.
    pub estimated: Option<Quantity>,
    /// Normalised residual at which it was rejected.
    pub normalised_residual: f64,
    /// Threshold that exceeded.
    pub threshold: f64,
    /// What it looks like.
    pub suspicion: Suspicion,
    /// Meters whose rejection would have explained the data as well: one of them may be the bad
    /// one instead.
    pub ambiguous_with: Vec<usize>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: measured {:.6e}, ", self.suspicion, self.measured)?;
        if let Some(estimated) = self.estimated {
            write!(
                f,
                "estimated {:.6e} ± {:.1e}, ",
                estimated.value, estimated.sigma
            )?;
        }
        write!(
            f,
            "normalised residual {:.1} above {:.1}",
            self.normalised_residual, self.threshold
        )
    }
}

/// A pseudo-measurement the meters contradict: kept, but trusted less.
#[derive(Clone, Debug, PartialEq)]
pub struct Relaxed {
    /// Position in the measurements.
    pub index: usize,
    /// Standard deviation it was given instead, SI.
    pub sigma: f64,
}

/// Why a measurement took no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusedReason {
    /// The value is not a number, or infinite; or the standard deviation is infinite.
    NotFinite,
    /// What it measures is switched off or not connected to a source.
    NotEnergised,
    /// A current not above three standard deviations: its direction is noise.
    CurrentBelowNoise,
}

/// A measurement that took no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unused {
    /// Position in the measurements.
    pub index: usize,
    /// Why.
    pub reason: UnusedReason,
}

/// How a measurement fits the estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Residual {
    /// Measured minus estimated, SI.
    pub residual: f64,
    /// Residual over its own standard deviation; none: critical, its residual is always zero.
    pub normalised: Option<f64>,
    /// Error expected to be found, SI: a smaller one on this measurement can stay below the
    /// threshold. None: critical, no error is ever found.
    pub detectable: Option<f64>,
}

/// A measurement that would help, were there one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suggestion {
    /// What to measure.
    pub kind: Kind,
    /// Of which phase.
    pub phase: Phase,
}

/// A part of the network that the measurements leave open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Missing {
    /// Unobservable nodes, connected with one another. Empty: all voltages are known, but not how
    /// loads, generators and sources at one node share its power.
    pub nodes: Vec<Id>,
    /// What to measure in addition. With the suggestions of all parts everything is observable,
    /// and none of them can be left out; other sets of as many measurements do as well.
    pub sensors: Vec<Suggestion>,
}

/// A switch whose state is not what the model says.
#[derive(Clone, Debug, PartialEq)]
pub struct SuspectedSwitch {
    /// Branch it is in.
    pub branch: Id,
    /// Side; none: the measurements do not tell, or both.
    pub side: Option<Side>,
    /// The model has the branch closed.
    pub modelled_closed: bool,
    /// Branches whose other state explains the measurements as well: one of them may be it instead.
    pub ambiguous_with: Vec<Id>,
    /// Objective as modelled, nothing rejected; none: no convergence.
    pub objective_before: Option<f64>,
    /// Objective with the other state, what is still bad rejected.
    pub objective_after: f64,
}

impl fmt::Display for SuspectedSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is, modelled) = match self.modelled_closed {
            true => ("open", "closed"),
            false => ("closed", "open"),
        };
        write!(f, "branch {} seems to be {is}", self.branch)?;
        match self.side {
            Some(Side::From) => f.write_str(" at its from side")?,
            Some(Side::To) => f.write_str(" at its to side")?,
            None => {}
        }
        write!(f, " but is modelled {modelled}: objective ")?;
        match self.objective_before {
            Some(before) => write!(f, "{before:.1}")?,
            None => f.write_str("without end")?,
        }
        write!(f, " as modelled, {:.1} otherwise", self.objective_after)
    }
}

/// The estimated state of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate<F: Form = Sym> {
    /// Node voltages, pu. Zero where not energised; where not observable a mere starting value.
    pub u: Vec<F::Of<Complex64>>,
    /// Nodes, in grid order.
    pub nodes: Vec<NodeEstimate<F>>,
    /// Branches, in grid order.
    pub branches: Vec<BranchEstimate<F>>,
    /// Loads and generators, in grid order.
    pub appliances: Vec<ApplianceEstimate<F>>,
    /// Sources, in grid order.
    pub sources: Vec<SourceEstimate<F>>,
    /// Energised nodes whose voltage the measurements do not determine, in one phase at least.
    pub unobservable: Vec<Id>,
    /// The same by island, with the sensors that would make it observable.
    pub missing: Vec<Missing>,
    /// Sum of squared weighted residuals.
    pub objective: f64,
    /// Measurements used, less what is needed to determine the state.
    pub degrees_of_freedom: usize,
    /// Chi-square quantile the objective is held against; zero without degrees of freedom.
    pub chi_square_threshold: f64,
    /// The objective is not above the threshold. Always so without degrees of freedom.
    pub passed: bool,
    /// Threshold of the normalised residuals.
    pub residual_threshold: f64,
    /// How each measurement fits, in the order given; none: unused or rejected.
    pub residuals: Vec<F::Of<Option<Residual>>>,
    /// Bad data, in the order found.
    pub rejected: Vec<Rejected>,
    /// A switch in another state than modelled, which the estimate is for: that explains what
    /// would otherwise be bad data at several meters.
    pub suspected_switch: Option<SuspectedSwitch>,
    /// Pseudo-measurements the meters contradict.
    pub relaxed: Vec<Relaxed>,
    /// Meters whose error could not be detected: without them the network is not observable.
    pub critical: Vec<usize>,
    /// Measurements that took no part.
    pub unused: Vec<Unused>,
    /// Gauss-Newton iterations, all fits together.
    pub iterations: usize,
    /// Norm of the gradient of half the objective along the constraints, in the metric of the
    /// gain matrix (the Newton decrement): distance to the optimum in standard deviations.
    pub gradient_norm: f64,
}
