//! Power flow: node voltages from injections.
//!
//! Newton-Raphson on the power mismatch (Tinney and Hart, 1967), structure and workspace built
//! once from the topology, then run with new values as often as wanted.
