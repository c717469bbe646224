//! Finding a device's models (SunSpec Device Information Model Specification, "Device Modbus Map"):
//! one of three base addresses carries `SunS`, after it follow models until the end model.

use super::image::{END, SUNS};
use crate::modbus::{
    client::{Client, LinkError},
    mbap::Table,
    plan::Span,
};

/// Base addresses in the order of how common they are.
const BASES: [u16; 3] = [40_000, 0, 50_000];
/// More models than any device has: a chain beyond it is nonsense and not followed.
const MAX_MODELS: usize = 64;

/// A model as found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: u16,
    /// Address of its `ID` register.
    pub(super) address: u16,
    /// What its `L` register says.
    pub(super) length: u16,
}

/// Walks the chain of models.
pub(super) async fn discover(client: &mut Client) -> Result<Vec<Found>, LinkError> {
    for base in BASES {
        if pair(client, base).await? == Some(SUNS) {
            return walk(client, base + 2).await;
        }
    }
    let text = format!("no \"SunS\" at register {BASES:?}");
    Err(LinkError::NotSunspec(text))
}

async fn walk(client: &mut Client, mut address: u16) -> Result<Vec<Found>, LinkError> {
    let mut models = Vec::new();
    while models.len() < MAX_MODELS {
        let Some([id, length]) = pair(client, address).await? else {
            // Some devices have no end model. What was found before is no less true.
            tracing::debug!(address, "SunSpec chain has no end model");
            return Ok(models);
        };
        if id == END {
            return Ok(models);
        }
        models.push(Found {
            id,
            address,
            length,
        });
        let next = u32::from(address) + u32::from(length) + 2;
        address = u16::try_from(next).map_err(|_| {
            let text = format!("model {id} at {address} claims {length} registers, past 65535");
            LinkError::NotSunspec(text)
        })?;
    }
    let text = format!("more than {MAX_MODELS} models");
    Err(LinkError::NotSunspec(text))
}

/// Two registers; `None` when the device refuses to read them.
async fn pair(client: &mut Client, address: u16) -> Result<Option<[u16; 2]>, LinkError> {
    let span = Span {
        table: Table::Holding,
        address,
        count: 2,
    };
    let answer = client.read(span).await?;
    Ok(answer.ok().and_then(|registers| registers.try_into().ok()))
}
