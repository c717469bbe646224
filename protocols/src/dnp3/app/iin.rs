//! Internal indications: what an outstation says of itself in every response (clause 4.2).

bitflags::bitflags! {
    /// The two octets, the first in the low half.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Iin: u16 {
        /// 1.0: a broadcast was received.
        const BROADCAST = 1;
        /// 1.1: there are events of class 1.
        const CLASS_1 = 1 << 1;
        /// 1.2: there are events of class 2.
        const CLASS_2 = 1 << 2;
        /// 1.3: there are events of class 3.
        const CLASS_3 = 1 << 3;
        /// 1.4: the clock wants to be set.
        const NEED_TIME = 1 << 4;
        /// 1.5: some outputs are under local control.
        const LOCAL_CONTROL = 1 << 5;
        /// 1.6: something is wrong with the device.
        const DEVICE_TROUBLE = 1 << 6;
        /// 1.7: the device has restarted.
        const DEVICE_RESTART = 1 << 7;
        /// 2.0: the function is not known or not supported.
        const NO_FUNC_CODE_SUPPORT = 1 << 8;
        /// 2.1: the object is not known or does not go with the function.
        const OBJECT_UNKNOWN = 1 << 9;
        /// 2.2: qualifier, range or data are wrong.
        const PARAMETER_ERROR = 1 << 10;
        /// 2.3: events were lost.
        const EVENT_BUFFER_OVERFLOW = 1 << 11;
        /// 2.4: what was asked for is under way already.
        const ALREADY_EXECUTING = 1 << 12;
        /// 2.5: the configuration is corrupt.
        const CONFIG_CORRUPT = 1 << 13;
    }
}

impl Iin {
    /// The three that say that a request was not carried out as asked.
    pub const REQUEST_ERRORS: Self = Self::NO_FUNC_CODE_SUPPORT
        .union(Self::OBJECT_UNKNOWN)
        .union(Self::PARAMETER_ERROR);

    /// As it is sent.
    pub(crate) fn octets(self) -> [u8; 2] {
        self.bits().to_le_bytes()
    }

    /// As it was received; reserved bits are dropped.
    pub(crate) fn from_octets(octets: [u8; 2]) -> Self {
        Self::from_bits_truncate(u16::from_le_bytes(octets))
    }
}
