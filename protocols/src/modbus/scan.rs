//! What answers at an address: a SunSpec device, or one whose registers look like a known model's. Only
//! reads. A model is recognised by what can be read where it has its points, and by a voltage that is
//! one: that is a guess, for a person to look at.

use tokio_modbus::ExceptionCode;

use super::{
    client::{Client, Link, LinkError},
    map::RegisterMap,
    mbap::Table,
    plan::{Span, plan},
    sunspec,
};
use crate::{device::Description, point::Value};

/// Voltages that a meter may show, V, before or behind its transformers.
const VOLTAGES: std::ops::RangeInclusive<f64> = 50.0..=1e6;

/// What is there.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// A gateway says that there is nothing behind it.
    Nobody,
    /// A SunSpec device, and what it says of itself.
    Sunspec(Description),
    /// A device that has all that these models have, by their places in the list; none: an unknown one.
    Registers(Vec<usize>),
}

/// Looks what answers by `link`; each question has its time-out.
///
/// # Errors
/// Nothing answers, or not in Modbus.
pub async fn look(link: &Link, models: &[&RegisterMap]) -> Result<Seen, LinkError> {
    let mut client = Client::connect(link).await?;
    let first = Span {
        table: Table::Holding,
        address: 0,
        count: 1,
    };
    let nobody = [
        ExceptionCode::GatewayPathUnavailable,
        ExceptionCode::GatewayTargetDevice,
    ];
    if matches!(client.read(first).await?, Err(exception) if nobody.contains(&exception)) {
        return Ok(Seen::Nobody);
    }
    if let Some(description) = sunspec::device::describe(&mut client, link).await? {
        return Ok(Seen::Sunspec(description));
    }
    let mut fitting = Vec::new();
    for (place, model) in models.iter().enumerate() {
        if fits(&mut client, model).await? {
            fitting.push(place);
        }
    }
    Ok(Seen::Registers(fitting))
}

async fn fits(client: &mut Client, model: &RegisterMap) -> Result<bool, LinkError> {
    let spans: Vec<Span> = model.points.iter().map(|point| point.span()).collect();
    let mut voltage = false;
    for read in plan(&spans, model.max_gap) {
        let Ok(registers) = client.read(read.span).await? else {
            return Ok(false);
        };
        for point in read.wanted.iter().map(|&index| &model.points[index]) {
            let span = point.span();
            let start = usize::from(span.address - read.span.address);
            let (value, quality) = point.decode(&registers[start..start + usize::from(span.count)]);
            voltage |= point.name.ends_with("_u")
                && quality.is_good()
                && matches!(value, Value::Analog(u) if VOLTAGES.contains(&u));
        }
    }
    Ok(voltage)
}
