//! Grids for the unit tests of this room.

use crate::network::{Grid, pgm_json};

/// A source, a ring of two lines and a transformer, loads at nodes 1 and 2, a shunt at 2.
pub(super) fn three_bus() -> Grid {
    let network = pgm_json::read(
        r#"{"version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": {
        "node": [{"id": 0, "u_rated": 20e3}, {"id": 1, "u_rated": 20e3}, {"id": 2, "u_rated": 10e3}],
        "line": [
          {"id": 10, "from_node": 0, "to_node": 1, "from_status": 1, "to_status": 1,
           "r1": 0.8, "x1": 1.5, "c1": 4e-7, "tan1": 0.0, "i_n": 300,
           "r0": 2.4, "x0": 5.5, "c0": 1e-7, "tan0": 0.0},
          {"id": 11, "from_node": 1, "to_node": 0, "from_status": 1, "to_status": 1,
           "r1": 1.4, "x1": 1.2, "c1": 2e-7, "tan1": 0.01, "i_n": 300,
           "r0": 3.4, "x0": 4.2, "c0": 1e-7, "tan0": 0.0}],
        "transformer": [
          {"id": 12, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1,
           "u1": 20e3, "u2": 10.5e3, "sn": 5e6, "uk": 0.07, "pk": 3e4, "i0": 0.01, "p0": 4e3,
           "winding_from": 2, "winding_to": 1, "clock": 5, "tap_side": 0, "tap_pos": 1,
           "tap_min": -2, "tap_max": 2, "tap_nom": 0, "tap_size": 500}],
        "shunt": [{"id": 40, "node": 2, "status": 1, "g1": 1e-4, "b1": 2e-3, "g0": 1e-4, "b0": 1e-3}],
        "source": [{"id": 20, "node": 0, "status": 1, "u_ref": 1.02}],
        "sym_load": [
          {"id": 30, "node": 1, "status": 1, "type": 0, "p_specified": 1.5e6, "q_specified": 4e5},
          {"id": 31, "node": 2, "status": 1, "type": 0, "p_specified": 2e6, "q_specified": 6e5}],
        "sym_gen": [
          {"id": 32, "node": 2, "status": 1, "type": 0, "p_specified": 5e5, "q_specified": 0}]
        }}"#,
    )
    .expect("the network above is valid");
    Grid::new(&network).expect("the network above is valid")
}
