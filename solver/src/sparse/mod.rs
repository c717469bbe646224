//! Fixed-pattern block factorisation: order once, factor often.
