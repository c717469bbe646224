//! IEC 60870-5-104 against lib60870 (`tests/peers/iec104_peers.py`): our station and its master, our
//! master and its station, tshark looking on, and the appliance as a control centre sees it.

mod appliance;
mod capture;
mod master;
#[path = "../peers_dnp3/peer.rs"]
#[expect(dead_code, reason = "some of it is opendnp3's")]
mod peer;
mod station;
#[path = "../peers_dnp3/tape.rs"]
mod tape;
mod tls;
