//! Which objects the outstation takes in which requests, with which qualifiers: one table, which
//! decides on every header and is printed in the device profile.

use crate::dnp3::{
    Kind,
    app::{FunctionCode, Iin, ObjectHeader, Variation},
};

/// Requests with an object: functions, and the qualifiers that go with them.
pub(super) type Requests = Vec<(&'static [FunctionCode], &'static [u8])>;

const RANGES: &[u8] = &[0x00, 0x01, 0x06];
const VALUES: &[u8] = &[0x00, 0x01, 0x06, 0x17, 0x28];
const EVENTS: &[u8] = &[0x06, 0x07, 0x08];
pub(super) const INDEXED: &[u8] = &[0x17, 0x28];
const ALL: &[u8] = &[0x06];
pub(super) const ONE: &[u8] = &[0x07];

/// The requests in which the outstation takes this object.
pub(super) fn requests(row: &Variation) -> Requests {
    use FunctionCode as F;
    let freeze: &[F] = &[
        F::ImmediateFreeze,
        F::ImmediateFreezeNoResponse,
        F::FreezeClear,
        F::FreezeClearNoResponse,
    ];
    let command: &[F] = &[
        F::Select,
        F::Operate,
        F::DirectOperate,
        F::DirectOperateNoResponse,
    ];
    let unsolicited: &[F] = &[F::EnableUnsolicited, F::DisableUnsolicited];
    let read: &[F] = &[F::Read];
    let write: &[F] = &[F::Write];
    let assign: &[F] = &[F::AssignClass];
    match (row.group, row.variation) {
        (12 | 41, _) => vec![(command, INDEXED)],
        (34, 0) => vec![(read, VALUES)],
        (34, _) => vec![(read, VALUES), (write, &[0x00, 0x01, 0x17, 0x28])],
        (50, 1) => vec![(read, ONE), (write, ONE)],
        (50, 3) => vec![(write, ONE)],
        (60, 1) => vec![(read, ALL), (assign, ALL)],
        (60, _) => vec![(read, EVENTS), (unsolicited, ALL), (assign, ALL)],
        (80, _) => vec![(read, &[0x00, 0x01]), (write, &[0x00, 0x01])],
        (110, _) => vec![(read, VALUES)],
        (20, 0) => vec![(read, VALUES), (freeze, RANGES), (assign, RANGES)],
        (group, 0) if Kind::of_static(group).is_some() => {
            vec![(read, VALUES), (assign, RANGES)]
        }
        (group, _) if Kind::of_static(group).is_some() => vec![(read, VALUES)],
        (group, _) if Kind::of_events(group).is_some() => vec![(read, EVENTS)],
        _ => Vec::new(),
    }
}

/// Whether the outstation takes this header in this request: the error to indicate if not.
pub(super) fn check(function: FunctionCode, header: &ObjectHeader<'_>) -> Result<(), Iin> {
    let requests = requests(&header.variation);
    let mut with = requests
        .iter()
        .filter(|(functions, _)| functions.contains(&function))
        .peekable();
    if with.peek().is_none() {
        return Err(Iin::OBJECT_UNKNOWN);
    }
    if !with.any(|(_, qualifiers)| qualifiers.contains(&header.qualifier)) {
        return Err(Iin::PARAMETER_ERROR);
    }
    Ok(())
}
