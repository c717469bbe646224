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

/// The arguments of `SubmitTotal` for [`ends::total`].
fn total_arguments() -> serde_json::Value {
    serde_json::json!([
        1_700_000_100,
        2,
        12,
        104_300,
        true,
        ["flex-co", "sun_2"],
        [4_200, -700],
        [-1_300_000, 55],
    ])
}
