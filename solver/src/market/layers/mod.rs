//! Markets above one another: a tenant passes up what each exchange at its connection is worth to it, the
//! layer above clears these curves over its own network and passes an award down.
//!
//! An exchange is import-positive: what the tenant takes from the layer above. `docs/market-layers.md` has the
//! mathematics.

mod area;
mod curve;
mod residual;
mod voltage;

pub use area::{Area, AreaError, Corner, Tenant, TenantAward};
pub use residual::{Residual, ResidualCorner, ResidualOptions, residual};
pub use voltage::Voltage;
