//! A door for `tests/fuzz`, in its builds only: MMS as an IED sends it, up to values.

use iec61850_client::mms_compat::mms_data_to_mms_value;
use iec61850_mms::mms::pdu::{
    MmsPdu, information_report::decode_information_report, read::decode_confirmed_read_response,
};
use iec61850_model::MmsValue;

use super::{Kind, PointSpec, Reference, value};

/// Reads a PDU as whatever it may be, and each value in it as a point of each kind, a quality and a time.
pub fn pdu(octets: &[u8]) {
    let data = match MmsPdu::decode(octets) {
        Ok(MmsPdu::Unconfirmed(inner)) => decode_information_report(&inner)
            .map(|report| report.list_of_access_result)
            .unwrap_or_default(),
        Ok(MmsPdu::ConfirmedResponse(inner)) => {
            let _ = decode_confirmed_read_response(&inner);
            return;
        }
        _ => return,
    };
    for value in &data {
        take(&mms_data_to_mms_value(value));
    }
}

fn take(raw: &MmsValue) {
    for (_, kind) in Kind::ALL {
        let spec = PointSpec {
            name: String::new(),
            reference: REFERENCE.parse::<Reference>().expect("a good reference"),
            kind,
            scale: 1000.0,
            offset: 0.5,
            unit: String::new(),
        };
        let _ = value::value(&spec, raw);
    }
    let _ = (value::quality(raw), value::time(raw));
}

const REFERENCE: &str = "LD0/MMXU1.TotW.mag.f[MX]";
