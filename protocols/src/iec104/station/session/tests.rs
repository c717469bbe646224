//! Whole sessions as frames. A bench plays the masters: it acknowledges what it gets, unless told not
//! to.

mod bench;
mod commands;
mod hostile;
mod reports;
