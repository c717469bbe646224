//! A master session over TCP: connects, and connects again for ever (clause 9, t0).

use super::{Master, MasterConfig, MasterEvent, Request};
use crate::{
    driver,
    tcp::{Client, ClientConfig, ClientEvents},
};

driver::session!(Master, MasterEvent, MasterEvent::Closed(_), {
    // Whoever takes connections and answers nothing is not to be asked ever faster.
    fn take_answered(&mut self) -> bool {
        self.take_answered()
    }
});

/// A running master; dropping it closes its connection.
#[derive(Debug)]
pub struct MasterClient(Client<Master>);

impl MasterClient {
    /// Connects to a station until dropped.
    #[must_use]
    pub fn start(config: ClientConfig, master: MasterConfig) -> (Self, ClientEvents<MasterEvent>) {
        let (client, events) = Client::start(config, |_| Master::new(master));
        (Self(client), events)
    }

    /// Asks something of the station, as [`Master::request`]. The answer's event may come before
    /// this returns.
    pub fn request(&self, request: Request) -> u64 {
        self.0.with(|master, now| master.request(request, now))
    }
}
