//! The pure step, once around: snapshot and moment in; commands, records and what is shown out.
//!
//! No socket, file, clock or thread. What goes wrong and what then happens:
//! - no sound estimate younger than [`MAX_AGE_US`] between gate closure and publication: the
//!   interval fails, an alarm stands, nothing is dispatched; leases run out and devices fall back;
//! - no dispatch keeps every limit: the least violating one is dispatched (it reduces the
//!   violation), and a critical alarm names what cannot be kept;
//! - the appliance was not there when an interval's delivery was to begin: the interval is void,
//!   nothing is dispatched and nothing is owed;
//! - a device does not answer or does not obey: its unit takes no part in the next interval and
//!   counts as fixed power at its estimated value.

mod above;
mod alarms;
mod book;
mod clearing;
mod delivery;
mod dispatch;
mod entry;
mod explain;
mod feeder;
mod gate;
mod hold;
mod measure;
mod meters;
mod networks;
mod order;
mod path;
mod phases;
mod profile;
mod publish;
mod registration;
mod requests;
mod step;
mod switch;
mod verify;
mod view;

pub(crate) use book::RECENT;
pub(crate) use explain::Explained;
pub use hold::{Held, HoldCommand, Holds, Refusal};
pub use registration::not_yours;
pub use requests::Decision;
pub use step::{Cycle, Input, MAX_AGE_US, Output};
pub use switch::{NotSwitched, Operation, SwitchCommand, SwitchStep};
pub(crate) use view::{above as view_above, pu as view_pu, voltage as view_voltage};
