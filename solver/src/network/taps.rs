//! Tap changers as their regulators see them, whichever transformer they are on.

use super::build::BranchRow;
use super::{Element, Grid, Side, TransformerTapRegulator};

/// A regulated transformer: its tap changer, and where its sides are in the grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegulatedTaps {
    /// Position now.
    pub pos: i8,
    /// Position of the lowest tap, which may be above `max`.
    pub min: i8,
    /// Position of the highest tap.
    pub max: i8,
    /// Side of the tap changer.
    pub tap_side: usize,
    /// Branch at each side.
    pub arms: [Option<usize>; 3],
    /// End of that branch at the transformer's side 0, 1, 2.
    pub ends: [Side; 3],
}

impl Grid {
    /// The transformer a tap regulator regulates.
    #[must_use]
    pub fn regulated(&self, regulator: &TransformerTapRegulator) -> Option<RegulatedTaps> {
        match self.element(regulator.regulated_object)? {
            Element::Branch(k) => {
                let BranchRow::Transformer(row) = self.network.branch_row(k) else {
                    return None;
                };
                let t = &self.network.transformer[row];
                Some(RegulatedTaps {
                    pos: t.tap_pos,
                    min: t.tap_min,
                    max: t.tap_max,
                    tap_side: usize::from(t.tap_side != 0),
                    arms: [Some(k), Some(k), None],
                    ends: [Side::From, Side::To, Side::To],
                })
            }
            Element::ThreeWinding(row) => {
                let t = &self.network.three_winding_transformer[row];
                let arm = |side| {
                    Some(
                        self.network
                            .branch_index(BranchRow::ThreeWinding(row, side)),
                    )
                };
                Some(RegulatedTaps {
                    pos: t.tap_pos,
                    min: t.tap_min,
                    max: t.tap_max,
                    tap_side: usize::try_from(t.tap_side).unwrap_or(0),
                    arms: [arm(0), arm(1), arm(2)],
                    ends: [Side::From; 3],
                })
            }
            _ => None,
        }
    }
}
