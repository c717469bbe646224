//! The header of a fragment: application control and function code, and in responses the internal
//! indications (clause 4.2.2).

use super::Iin;

/// What a fragment asks for or is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the standard's own names")]
pub enum FunctionCode {
    Confirm = 0,
    Read = 1,
    Write = 2,
    Select = 3,
    Operate = 4,
    DirectOperate = 5,
    DirectOperateNoResponse = 6,
    ImmediateFreeze = 7,
    ImmediateFreezeNoResponse = 8,
    FreezeClear = 9,
    FreezeClearNoResponse = 10,
    ColdRestart = 13,
    WarmRestart = 14,
    EnableUnsolicited = 20,
    DisableUnsolicited = 21,
    AssignClass = 22,
    DelayMeasure = 23,
    RecordCurrentTime = 24,
    Response = 129,
    UnsolicitedResponse = 130,
}

impl FunctionCode {
    /// Those we know; the others are refused by the outstation with
    /// [`Iin::NO_FUNC_CODE_SUPPORT`].
    pub const ALL: [Self; 20] = [
        Self::Confirm,
        Self::Read,
        Self::Write,
        Self::Select,
        Self::Operate,
        Self::DirectOperate,
        Self::DirectOperateNoResponse,
        Self::ImmediateFreeze,
        Self::ImmediateFreezeNoResponse,
        Self::FreezeClear,
        Self::FreezeClearNoResponse,
        Self::ColdRestart,
        Self::WarmRestart,
        Self::EnableUnsolicited,
        Self::DisableUnsolicited,
        Self::AssignClass,
        Self::DelayMeasure,
        Self::RecordCurrentTime,
        Self::Response,
        Self::UnsolicitedResponse,
    ];

    /// The function of a code.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|&function| function as u8 == code)
    }

    /// Whether the outstation answers it.
    #[must_use]
    pub fn is_answered(self) -> bool {
        !matches!(
            self,
            Self::Confirm
                | Self::DirectOperateNoResponse
                | Self::ImmediateFreezeNoResponse
                | Self::FreezeClearNoResponse
        )
    }
}

/// Application control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) first: bool,
    pub(crate) last: bool,
    /// The other shall confirm this fragment.
    pub(crate) confirm: bool,
    pub(crate) unsolicited: bool,
    /// Modulo 16.
    pub(crate) sequence: u8,
}

impl Control {
    /// A request or a response of one fragment.
    pub(crate) fn single(sequence: u8) -> Self {
        Self {
            first: true,
            last: true,
            confirm: false,
            unsolicited: false,
            sequence,
        }
    }

    pub(crate) fn octet(self) -> u8 {
        u8::from(self.first) << 7
            | u8::from(self.last) << 6
            | u8::from(self.confirm) << 5
            | u8::from(self.unsolicited) << 4
            | self.sequence & 0x0F
    }

    pub(crate) fn from_octet(octet: u8) -> Self {
        Self {
            first: octet & 0x80 != 0,
            last: octet & 0x40 != 0,
            confirm: octet & 0x20 != 0,
            unsolicited: octet & 0x10 != 0,
            sequence: octet & 0x0F,
        }
    }
}

/// The sequence number after `sequence`.
pub(crate) fn next_sequence(sequence: u8) -> u8 {
    (sequence + 1) & 0x0F
}

/// The header of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) control: Control,
    /// Not every code is a [`FunctionCode`].
    pub(crate) code: u8,
    /// In responses.
    pub(crate) iin: Option<Iin>,
}

impl Header {
    /// Splits a fragment into its header and its objects; `None`: too short to be one.
    pub(crate) fn split(fragment: &[u8]) -> Option<(Self, &[u8])> {
        let (&[control, code], rest) = fragment.split_first_chunk()?;
        let response = matches!(
            FunctionCode::from_code(code),
            Some(FunctionCode::Response | FunctionCode::UnsolicitedResponse)
        );
        let (iin, objects) = if response {
            let (&iin, objects) = rest.split_first_chunk()?;
            (Some(Iin::from_octets(iin)), objects)
        } else {
            (None, rest)
        };
        let control = Control::from_octet(control);
        Some((Self { control, code, iin }, objects))
    }

    /// The function, where it is known.
    pub(crate) fn function(self) -> Option<FunctionCode> {
        FunctionCode::from_code(self.code)
    }

    /// A fragment with these objects.
    pub(crate) fn join(self, objects: &[u8]) -> Vec<u8> {
        let mut fragment = Vec::with_capacity(4 + objects.len());
        fragment.extend([self.control.octet(), self.code]);
        fragment.extend(self.iin.into_iter().flat_map(Iin::octets));
        fragment.extend_from_slice(objects);
        fragment
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_response_is_split_and_joined() {
        // FIR, FIN, CON, sequence 5; response; restart and class 1 events; g1v2, 0 to 0, online.
        let fragment = [0xE5, 0x81, 0x82, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x81];
        let (header, objects) = Header::split(&fragment).unwrap();
        assert_eq!(header.function(), Some(FunctionCode::Response));
        assert_eq!(header.iin, Some(Iin::CLASS_1 | Iin::DEVICE_RESTART));
        assert!(header.control.confirm && !header.control.unsolicited);
        assert_eq!(objects, &fragment[4..]);
        assert_eq!(header.join(objects), fragment);
    }

    #[test]
    fn too_short_is_none() {
        for fragment in [&[][..], &[0xC0], &[0xC0, 0x81, 0x00]] {
            assert_eq!(Header::split(fragment), None);
        }
        assert!(Header::split(&[0xC0, 0x00]).is_some());
    }

    proptest! {
        #[test]
        fn every_control_octet_survives(octet: u8) {
            prop_assert_eq!(Control::from_octet(octet).octet(), octet);
        }
    }
}
