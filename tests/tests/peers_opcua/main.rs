//! OPC UA against asyncua (`tests/peers/opcua_peers.py`): asyncua as a tenant of our server, also with
//! everything wrong that a tenant can have wrong, and our client with asyncua as the area.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod area;
#[path = "../../../protocols/tests/opcua/ends.rs"]
#[expect(dead_code, reason = "a part of it is for the ends with each other")]
mod ends;
#[path = "../peers_dnp3/peer.rs"]
#[expect(dead_code, reason = "some of it is opendnp3's")]
mod peer;
mod refused;
mod tenant;
