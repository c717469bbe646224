//! The objects of a response.

use super::{MasterEvent, Measurement};
use crate::{
    dnp3::{
        Flags, Kind, Sample,
        app::{
            Headers, Iin, Item, Layout, ObjectHeader, ParseError, decode, double_of, time_from,
            time_of,
        },
    },
    point::{TimeQuality, Timestamp, Value},
};

/// What the objects of a fragment say, up to the first that cannot be read, which is named.
pub(super) fn events(
    outstation: u16,
    objects: &[u8],
    iin: Iin,
) -> (Vec<MasterEvent>, Option<ParseError>) {
    let mut measurements = Vec::new();
    let mut events = Vec::new();
    let mut common = None;
    let mut error = None;
    for header in Headers::new(objects) {
        match header {
            Ok(header) if header.variation.group == 51 => common = common_time(&header),
            Ok(header) if header.variation.layout == Layout::Octets => {
                events.extend(octets(outstation, &header));
            }
            Ok(header) => values(&header, iin, common, &mut measurements),
            Err(wrong) => error = Some(wrong),
        }
    }
    if !measurements.is_empty() {
        let measurements = MasterEvent::Measurements {
            outstation,
            measurements,
        };
        events.insert(0, measurements);
    }
    (events, error)
}

/// The time of g51: variation 2 says that the clock was not set.
fn common_time(header: &ObjectHeader<'_>) -> Option<Timestamp> {
    let (_, Item::Octets(octets)) = header.items().next()? else {
        return None;
    };
    let quality = match header.variation.variation {
        1 => TimeQuality::Source,
        _ => TimeQuality::Unsynchronised,
    };
    Some(time_from(time_of(octets)?, quality))
}

fn octets(outstation: u16, header: &ObjectHeader<'_>) -> Vec<MasterEvent> {
    let event = header.variation.group == 111;
    let strings = header.items().filter_map(|(index, item)| match item {
        Item::Octets(octets) => Some(MasterEvent::Octets {
            outstation,
            index: u16::try_from(index).ok()?,
            octets: octets.to_vec(),
            event,
        }),
        Item::Packed(_) => None,
    });
    strings.collect()
}

fn values(
    header: &ObjectHeader<'_>,
    iin: Iin,
    common: Option<Timestamp>,
    measurements: &mut Vec<Measurement>,
) {
    let group = header.variation.group;
    let (kind, event) = match (Kind::of_static(group), Kind::of_events(group)) {
        (Some(kind), _) => (kind, false),
        (None, Some(kind)) => (kind, true),
        (None, None) => return,
    };
    // An outstation that wants its clock set does not vouch for its times.
    let quality = if iin.contains(Iin::NEED_TIME) {
        TimeQuality::Unsynchronised
    } else {
        TimeQuality::Source
    };
    for (index, item) in header.items() {
        let sample = match item {
            Item::Octets(object) => decode(&header.variation, object, quality, common),
            Item::Packed(bits) => Some(packed(kind, bits)),
        };
        if let (Some(sample), Ok(index)) = (sample, u16::try_from(index)) {
            measurements.push(Measurement {
                kind,
                index,
                sample,
                event,
            });
        }
    }
}

fn packed(kind: Kind, bits: u8) -> Sample {
    let value = match kind {
        Kind::DoubleBit => Value::DoublePoint(double_of(bits)),
        _ => Value::Binary(bits & 1 == 1),
    };
    Sample {
        value,
        flags: Flags::ONLINE,
        time: None,
    }
}
