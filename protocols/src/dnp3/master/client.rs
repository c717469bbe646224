//! A master session over TCP: connects, and connects again for ever (clause 13).

use super::{AssociationConfig, Master, MasterEvent, Request};
use crate::{
    driver,
    tcp::{Client, ClientConfig, ClientEvents},
};

driver::session!(Master, MasterEvent, MasterEvent::LinkLost);

/// A running master; dropping it closes its connection.
#[derive(Debug)]
pub struct MasterClient(Client<Master>);

impl MasterClient {
    /// Connects to these outstations behind one address, until dropped.
    #[must_use]
    pub fn start(
        config: ClientConfig,
        outstations: &[AssociationConfig],
    ) -> (Self, ClientEvents<MasterEvent>) {
        let (client, events) = Client::start(config, |now| Master::new(outstations, now));
        (Self(client), events)
    }

    /// Asks something of an outstation, as [`Master::request`]. The answer's event may come before
    /// this returns.
    pub fn request(&self, outstation: u16, request: Request) -> u64 {
        let ask = |master: &mut Master, now| master.request(outstation, request, now);
        self.0.with(ask)
    }
}
