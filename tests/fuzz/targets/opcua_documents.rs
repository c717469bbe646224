//! Documents of the market's link as arguments of OPC UA methods.

#![no_main]

use fuzz::fuzz_target;
use protocols::opcua::fuzz::documents;

fuzz_target!(|input: &[u8]| {
    documents(input);
});
