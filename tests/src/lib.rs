//! Whole-system tests of Busbar.
