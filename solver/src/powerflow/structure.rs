//! Pattern of the bus admittance matrix, from the branches whatever their state, and its values.

use num_complex::Complex64;

use crate::network::{Grid, Matrix3, PhaseGrid, Phases};

/// The bus admittance matrix by rows, columns ascending.
#[derive(Clone, Debug)]
pub(super) struct YBus<T = Complex64> {
    /// Entries of row `i` are `start[i]..start[i + 1]`.
    pub(super) start: Vec<usize>,
    pub(super) column: Vec<usize>,
    pub(super) value: Vec<T>,
    /// Entry on the diagonal of each row.
    pub(super) diagonal: Vec<usize>,
    /// Sum of each row: what is left of its branches when all voltages are alike. Differences of
    /// voltages times the other entries then give currents without the rounding of large
    /// admittances, such as links', that cancel.
    pub(super) total: Vec<T>,
    /// Ends of each branch, and the entries of its `yff, yft, ytf, ytt`.
    ends: Vec<(usize, usize)>,
    entries: Vec<[usize; 4]>,
}

impl<T: Copy + Default> YBus<T> {
    pub(super) fn new(grid: &Grid) -> Self {
        let n = grid.node_id.len();
        let ends: Vec<(usize, usize)> = grid.branches.iter().map(|b| (b.from, b.to)).collect();
        let mut pairs: Vec<(usize, usize)> = (0..n).map(|i| (i, i)).collect();
        pairs.extend(ends.iter().flat_map(|&(f, t)| [(f, t), (t, f)]));
        pairs.sort_unstable();
        pairs.dedup();
        let entry = |row: usize, column: usize| {
            pairs
                .binary_search(&(row, column))
                .expect("the pattern was made from these very branches and nodes")
        };
        let entries = ends
            .iter()
            .map(|&(f, t)| [entry(f, f), entry(f, t), entry(t, f), entry(t, t)])
            .collect();
        let diagonal = (0..n).map(|i| entry(i, i)).collect();
        let mut start = vec![0; n + 1];
        for &(row, _) in &pairs {
            start[row + 1] += 1;
        }
        for i in 0..n {
            start[i + 1] += start[i];
        }
        Self {
            start,
            value: vec![T::default(); pairs.len()],
            column: pairs.into_iter().map(|(_, column)| column).collect(),
            diagonal,
            total: vec![T::default(); n],
            entries,
            ends,
        }
    }

    /// Branch ends, as edges of the elimination graph.
    pub(super) fn edges(&self) -> &[(usize, usize)] {
        &self.ends
    }

    /// Whether the pattern is this grid's.
    pub(super) fn fits(&self, grid: &Grid) -> bool {
        grid.node_id.len() == self.diagonal.len()
            && grid.branches.len() == self.ends.len()
            && grid
                .branches
                .iter()
                .zip(&self.ends)
                .all(|(b, &ends)| (b.from, b.to) == ends)
    }

    /// Entries and columns of a row.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = (usize, usize)> + use<'_, T> {
        let range = self.start[row]..self.start[row + 1];
        range.clone().zip(self.column[range].iter().copied())
    }
}

impl YBus {
    /// Values of branches and shunts as they are now; rows that are not energised stay zero.
    pub(super) fn assemble(&mut self, grid: &Grid) {
        self.value.fill(Complex64::ZERO);
        self.total.copy_from_slice(&grid.y_shunt);
        for (b, entries) in grid.branches.iter().zip(&self.entries) {
            for (&entry, y) in entries.iter().zip([b.yff, b.yft, b.ytf, b.ytt]) {
                self.value[entry] += y;
            }
            self.total[b.from] += b.yff + b.yft;
            self.total[b.to] += b.ytf + b.ytt;
        }
        for (&entry, y) in self.diagonal.iter().zip(&grid.y_shunt) {
            self.value[entry] += y;
        }
    }

    /// Current that branches and shunts take from a node.
    pub(super) fn current(&self, row: usize, u: &[Complex64]) -> Complex64 {
        let own = u[row];
        let others = self.row(row).filter(|&(_, column)| column != row);
        self.total[row] * own
            + others
                .map(|(entry, column)| self.value[entry] * (u[column] - own))
                .sum::<Complex64>()
    }
}

impl YBus<Matrix3> {
    /// Values of branches and shunts as they are now; rows that are not energised stay zero.
    pub(super) fn assemble(&mut self, grid: &PhaseGrid) {
        self.value.fill(Matrix3::ZERO);
        self.total.copy_from_slice(&grid.y_shunt);
        for ((b, entries), &(from, to)) in grid.branches.iter().zip(&self.entries).zip(&self.ends) {
            for (&entry, y) in entries.iter().zip([b.yff, b.yft, b.ytf, b.ytt]) {
                self.value[entry] += y;
            }
            self.total[from] += b.yff + b.yft;
            self.total[to] += b.ytf + b.ytt;
        }
        for (&entry, y) in self.diagonal.iter().zip(&grid.y_shunt) {
            self.value[entry] += *y;
        }
    }

    /// Current that branches and shunts take from a node.
    pub(super) fn current(&self, row: usize, u: &[Phases]) -> Phases {
        let own = u[row];
        let mut current = self.total[row].apply(&own);
        for (entry, column) in self.row(row) {
            if column != row {
                let difference = [0, 1, 2].map(|p| u[column][p] - own[p]);
                add(&mut current, &self.value[entry].apply(&difference));
            }
        }
        current
    }
}

/// Adds phase by phase.
pub(super) fn add(to: &mut Phases, other: &Phases) {
    for (to, other) in to.iter_mut().zip(other) {
        *to += other;
    }
}
