//! Sparse rows of a convex programme as they grow.

use clarabel::{
    algebra::CscMatrix,
    solver::{SupportedConeT, SupportedConeT::NonnegativeConeT},
};

/// An entry of a sparse matrix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) value: f64,
}

pub(super) fn csc(rows: usize, columns: usize, entries: &[Entry]) -> CscMatrix<f64> {
    CscMatrix::new_from_triplets(
        rows,
        columns,
        entries.iter().map(|e| e.row).collect(),
        entries.iter().map(|e| e.column).collect(),
        entries.iter().map(|e| e.value).collect(),
    )
}

/// Constraint rows `a x + s = b` with `s` in a cone.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) entries: Vec<Entry>,
    pub(super) b: Vec<f64>,
    pub(super) cones: Vec<SupportedConeT<f64>>,
}

impl Rows {
    /// Adds `b - (coefficients) x` to the cone being filled, and says where it is.
    pub(super) fn push(
        &mut self,
        b: f64,
        coefficients: impl IntoIterator<Item = (usize, f64)>,
    ) -> usize {
        let row = self.b.len();
        self.b.push(b);
        for (column, value) in coefficients {
            if value != 0.0 {
                self.entries.push(Entry { row, column, value });
            }
        }
        row
    }

    /// `b - (coefficients) x >= 0`.
    pub(super) fn push_not_negative(
        &mut self,
        b: f64,
        coefficients: impl IntoIterator<Item = (usize, f64)>,
    ) -> usize {
        if let Some(NonnegativeConeT(len)) = self.cones.last_mut() {
            *len += 1;
        } else {
            self.cones.push(NonnegativeConeT(1));
        }
        self.push(b, coefficients)
    }

    pub(super) fn matrix(&self, columns: usize) -> CscMatrix<f64> {
        csc(self.b.len(), columns, &self.entries)
    }
}
