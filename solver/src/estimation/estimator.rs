//! The estimator: fit, look for bad data, fit again until clean, report.

use std::marker::PhantomData;

use num_complex::Complex64;

use super::admittances::Admittances;
use super::equation::Model;
use super::layout::Layout;
use super::problem;
use super::search::Search;
use super::start;
use super::switches;
use super::wls::Wls;
use super::{Asym, Estimate, EstimationError, Form, Measurement, Options, Sym};
use crate::network::{Grid, NetworkError, OnlyByPhase, PhaseGrid};

/// Estimates the state of one network, as often as wanted: see [`Estimator`] and
/// [`AsymEstimator`].
///
/// Holds what follows from the branches alone, open or closed; switching, taps and measurements
/// may differ from run to run.
pub struct EstimatorOf<F: Form> {
    layout: Layout,
    by_phase: Option<PhaseGrid>,
    admittances: Admittances,
    /// What of the network keeps it from being estimated with its phases alike.
    only_by_phase: Option<OnlyByPhase>,
    form: PhantomData<F>,
}

/// Estimates the positive sequence.
pub type Estimator = EstimatorOf<Sym>;

/// Estimates the phases a, b, c.
pub type AsymEstimator = EstimatorOf<Asym>;

impl Estimator {
    /// Prepares for a grid.
    #[must_use]
    pub fn new(grid: &Grid) -> Self {
        Self::prepared(grid, None)
    }
}

impl AsymEstimator {
    /// Prepares for a grid.
    ///
    /// # Errors
    /// Everything of the network that lacks zero-sequence data.
    pub fn new(grid: &Grid) -> Result<Self, NetworkError> {
        Ok(Self::prepared(grid, Some(PhaseGrid::new(grid)?)))
    }

    /// What the last run's grid has by phase.
    #[must_use]
    pub fn phases(&self) -> &PhaseGrid {
        let by_phase = self.by_phase.as_ref();
        by_phase.expect("made from the phases of a grid")
    }
}

impl<F: Form> EstimatorOf<F> {
    fn prepared(grid: &Grid, by_phase: Option<PhaseGrid>) -> Self {
        let only_by_phase = match by_phase {
            None => grid.network().only_by_phase(),
            Some(_) => None,
        };
        Self {
            layout: Layout::new(grid, F::PHASES),
            by_phase,
            only_by_phase,
            admittances: Admittances::default(),
            form: PhantomData,
        }
    }

    /// Takes over the grid as it is now.
    ///
    /// # Errors
    /// A grid other than that of `new`, or one whose phases are not alike for the positive
    /// sequence.
    pub(super) fn follow<'a>(&'a mut self, grid: &'a Grid) -> Result<Model<'a>, EstimationError> {
        if let Some(found) = self.only_by_phase {
            return Err(EstimationError::OnlyByPhase(found));
        }
        if !self.layout.fits(grid) {
            return Err(EstimationError::OtherGrid {
                found_nodes: grid.node_id.len(),
                found_branches: grid.branches.len(),
                found_appliances: grid.appliances.len(),
            });
        }
        if let Some(by_phase) = &mut self.by_phase {
            by_phase.follow(grid);
        }
        self.admittances.follow(grid, self.by_phase.as_ref());
        Ok(self.model(grid))
    }

    /// The grid as it was followed last.
    pub(super) fn model<'a>(&'a self, grid: &'a Grid) -> Model<'a> {
        Model {
            grid,
            layout: &self.layout,
            admittances: &self.admittances,
        }
    }

    /// The most likely state given `measurements`, bad data rejected. Where another state of a
    /// switch explains what is bad, that of a network switched so.
    ///
    /// `start` are node voltages, pu, in grid order, from where to begin: best a former estimate.
    /// A load or generator that is not measured is estimated from the rest, as far as that goes.
    ///
    /// # Errors
    /// A grid other than that of `new`, or one that is [only by phase](OnlyByPhase) for the
    /// positive sequence; measurements of unknown components, single phases of the positive
    /// sequence, impossible standard deviations, no convergence.
    pub fn run(
        &mut self,
        grid: &Grid,
        measurements: &[Measurement],
        start: Option<&[F::Of<Complex64>]>,
        options: &Options,
    ) -> Result<Estimate<F>, EstimationError> {
        match self.run_as_modelled(grid, measurements, start, options) {
            Ok(modelled) => Ok(switches::explain(
                self,
                grid,
                measurements,
                start,
                options,
                modelled,
            )),
            Err(failed) => {
                switches::explain_failure(self, grid, measurements, start, options, failed)
            }
        }
    }

    /// The most likely state with every switch as it is in the grid.
    pub(super) fn run_as_modelled(
        &mut self,
        grid: &Grid,
        measurements: &[Measurement],
        start: Option<&[F::Of<Complex64>]>,
        options: &Options,
    ) -> Result<Estimate<F>, Failed> {
        if let Some(u) = start.filter(|u| u.len() != grid.node_id.len()) {
            let (found, expected) = (u.len(), grid.node_id.len());
            return Err(EstimationError::StartLength { found, expected }.into());
        }
        let model = self.follow(grid)?;
        let (observations, unused) = problem::observe(model, measurements)?;
        let start: Option<Vec<Complex64>> = start.map(|u| {
            let phases = |u| model.phases().map(move |phase| *F::phase(u, phase));
            u.iter().flat_map(phases).collect()
        });
        let mut search = Search {
            model,
            options,
            state: problem::initial_state(model, &observations, start.as_deref()),
            observations,
            wls: Wls::new(model),
            found: Vec::new(),
            readmitted: Vec::new(),
            iterations: 0,
        };
        if start.is_none() {
            let factor = &mut search.wls.factor;
            start::linear(model, &search.observations, factor, &mut search.state);
        }
        let clean = search.until_clean();
        let clean = clean.map_err(|error| Failed {
            error: search.with_what_is_missing(error),
            suspects: search.suspects(),
        })?;
        Ok(search.estimate(clean, measurements.len(), unused))
    }
}

/// Why there is no estimate, and what looked bad on the way: positions in the measurements.
pub(super) struct Failed {
    pub(super) error: EstimationError,
    pub(super) suspects: Vec<usize>,
}

impl From<EstimationError> for Failed {
    fn from(error: EstimationError) -> Self {
        Self {
            error,
            suspects: Vec::new(),
        }
    }
}
