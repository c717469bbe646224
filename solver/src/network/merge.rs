//! Nodes that closed links connect as one node: what a link without any impedance means.

use std::collections::BTreeMap;

use super::{Branch, BranchKind, Grid, Id, Network};

/// Rated voltages that differ by no more than this part of them are the same.
const SAME_RATING: f64 = 1e-9;

/// A grid in which closed links have no impedance at all: the nodes that they connect are one.
///
/// A link with fewer than three phases, or between nodes rated differently, stays the branch of
/// almost no impedance that it is in [`Grid`]. Sensors and faults are left out.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The grid to be solved. Its branches, sources, appliances and shunts are those of the original,
    /// in the same places; links that are merged are open there.
    pub grid: Grid,
    /// By node of the original: its node here.
    pub(crate) node: Vec<usize>,
    /// Branches of the original that are merged.
    pub(crate) links: Vec<usize>,
}

impl Grid {
    /// This grid with closed links as connections without impedance.
    #[must_use]
    pub fn merged(&self) -> Merged {
        let is_merged = |b: &&Branch| b.is_ideal_link(&self.u_rated);
        let mut groups = Groups::new(self.node_id.len());
        for b in self.branches.iter().filter(is_merged) {
            groups.join(b.from, b.to);
        }
        let first: Vec<usize> = (0..self.node_id.len()).map(|k| groups.first(k)).collect();
        let mut network = self.network.clone();
        let known = network.node.len();
        let names: BTreeMap<Id, Id> = (0..known)
            .map(|k| (self.node_id[k], self.node_id[first[k]]))
            .collect();
        network.connect(&names);
        network.node.retain(|n| names.get(&n.id) == Some(&n.id));
        let links = (0..self.branches.len())
            .filter(|&k| is_merged(&&self.branches[k]))
            .collect();
        for l in &mut network.link {
            let at = self.index_of_branch(l.id);
            if at.is_some_and(|k| is_merged(&&self.branches[k])) {
                (l.from_status, l.to_status) = (0, 0);
            }
        }
        let mut place = vec![0; first.len()];
        for (to, from) in (0..first.len()).filter(|&k| first[k] == k).enumerate() {
            place[from] = to;
        }
        Merged {
            grid: Self::build(&network),
            node: first.iter().map(|&k| place[k]).collect(),
            links,
        }
    }
}

impl Branch {
    /// It is a link that makes one node of two.
    fn is_ideal_link(&self, u_rated: &[f64]) -> bool {
        let (from, to) = (u_rated[self.from], u_rated[self.to]);
        self.kind == BranchKind::Link
            && self.from_closed
            && self.to_closed
            && self.phases == [true; 3]
            && (from - to).abs() <= SAME_RATING * from
    }
}

impl Network {
    /// Connects everything that stands at a node to the one that `names` has for it; forgets sensors
    /// and faults.
    fn connect(&mut self, names: &BTreeMap<Id, Id>) {
        let rename = |node: &mut Id| {
            if let Some(name) = names.get(node) {
                *node = *name;
            }
        };
        macro_rules! rename {
            ($($table:ident: $($node:ident),+;)*) => {
                $(for row in &mut self.$table { $(rename(&mut row.$node);)+ })*
            };
        }
        rename! {
            line: from_node, to_node;
            asym_line: from_node, to_node;
            link: from_node, to_node;
            generic_branch: from_node, to_node;
            transformer: from_node, to_node;
            step_voltage_regulator: from_node, to_node;
            three_winding_transformer: node_1, node_2, node_3;
            shunt: node;
            source: node;
            sym_load: node;
            sym_gen: node;
            asym_load: node;
            asym_gen: node;
        }
        self.sym_power_sensor.clear();
        self.asym_power_sensor.clear();
        self.sym_voltage_sensor.clear();
        self.asym_voltage_sensor.clear();
        self.sym_current_sensor.clear();
        self.asym_current_sensor.clear();
        self.fault.clear();
    }
}

/// Which nodes belong together; the first of them stands for all.
struct Groups(Vec<usize>);

impl Groups {
    fn new(n: usize) -> Self {
        Self((0..n).collect())
    }

    fn first(&mut self, mut k: usize) -> usize {
        while self.0[k] != k {
            self.0[k] = self.0[self.0[k]];
            k = self.0[k];
        }
        k
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        self.0[a.max(b)] = a.min(b);
    }
}
