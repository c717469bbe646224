//! DNP3 against opendnp3 (`tests/peers/dnp3_peers.py`) and dnp3py (`dnp3py_peers.py`): our outstation
//! and their masters, our master and their outstations, tshark looking on, and the appliance
//! as a control centre sees it.

mod appliance;
mod bay;
mod capture;
mod commands;
mod der;
mod dnp3py;
mod events;
mod master;
mod outstation;
mod peer;
mod tape;
mod tls;
