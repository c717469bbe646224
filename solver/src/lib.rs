//! Everything computed. Reads no clock, file, socket or random source.
