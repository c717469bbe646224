//! The simulated substation.
