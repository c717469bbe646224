//! DNP3 against opendnp3 (`tests/peers/dnp3_peers.py`): our outstation and its master, our master
//! and its outstation, and tshark looking on.

mod capture;
mod master;
mod outstation;
mod peer;
