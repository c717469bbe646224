//! MMS from an IED, up to values, qualities and times.

#![no_main]

use fuzz::fuzz_target;
use protocols::iec61850::fuzz::pdu;

fuzz_target!(|input: &[u8]| pdu(input));
