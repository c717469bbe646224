//! The DNP3 outstation: what is published and what devices report goes into its points, what masters
//! command goes to the loop. A master that hangs is its own trouble: nothing here waits for one.

use std::io;

use protocols::dnp3::{
    Flags, Sample,
    app::{CommandStatus, OutputCommand},
    link::LinkConfig,
    outstation::{
        ControlOperation, ControlRequest, OutstationConfig, OutstationEvent, PointConfig,
        server::{OutstationServer, ServerConfig},
    },
};
use solver::network::Id;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    commands::{Asked, Change, Commander, Refused},
    feed::Heard,
    points::{self, Entry},
    watch::Watch,
};
use crate::{
    cycle::Refusal,
    published::Handle,
    site::{Dnp3, Site},
};

/// The outstation of a site, listening; [`Station::serve`] runs it.
pub struct Station {
    server: OutstationServer,
    events: mpsc::Receiver<(usize, OutstationEvent)>,
    config: Dnp3,
    entries: Vec<Entry>,
    units: Vec<Id>,
    commands: Commander,
}

impl Station {
    /// Opens the port.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(site: &Site, config: &Dnp3) -> io::Result<Self> {
        let entries = points::list(site);
        let list: Vec<PointConfig> = entries.iter().map(|entry| entry.config).collect();
        let masters: Vec<OutstationConfig> = config
            .masters
            .iter()
            .map(|master| OutstationConfig {
                from: Some(master.ip),
                certificate: master.certificate,
                ..OutstationConfig::new(LinkConfig::new(config.address, master.address))
            })
            .collect();
        let tls = config.tls.as_ref().map(|files| files.server());
        let bounds = ServerConfig {
            tls: tls.transpose().map_err(io::Error::other)?,
            ..ServerConfig::default()
        };
        let (server, events) =
            OutstationServer::bind(config.listen, &masters, &list, bounds).await?;
        Ok(Self {
            server,
            events,
            config: config.clone(),
            entries,
            units: site.units.iter().map(|unit| unit.id).collect(),
            commands: Commander::new(config.hold),
        })
    }

    /// Serves until `stop`.
    pub async fn serve(mut self, mut handle: Handle, stop: CancellationToken) {
        let mut watch = Watch::new(&self.entries, handle.feed.follow());
        self.say(watch.look(&handle.published.borrow_and_update()));
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = handle.published.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.say(watch.look(&handle.published.borrow_and_update()));
                }
                heard = watch.next() => match heard {
                    Some(heard) => self.say(heard),
                    None => return,
                },
                event = self.events.recv() => {
                    let Some((session, event)) = event else { return };
                    if let OutstationEvent::Control(request) = event {
                        self.control(session, &request, &handle).await;
                    }
                }
            }
        }
    }

    /// Gives the server what is new; it makes the events.
    fn say(&self, heard: Heard) {
        for (place, said) in heard.said {
            let PointConfig { kind, index, .. } = self.entries[place].config;
            let sample = Sample {
                value: said.value,
                flags: Flags::from_quality(kind, said.quality),
                time: Some(said.time),
            };
            self.server.update(kind, index, sample);
        }
        if heard.lost > 0 {
            tracing::warn!(batches = heard.lost, "dnp3: changes of devices lost");
            self.server.events_lost();
        }
    }

    async fn control(&mut self, session: usize, request: &ControlRequest, handle: &Handle) {
        let mut statuses = Vec::with_capacity(request.commands.len());
        for (index, command) in &request.commands {
            let only_check = request.operation == ControlOperation::Select;
            let asked = self.asked(session, *index, command);
            statuses.push(match asked {
                Ok(asked) => status(self.commands.carry_out(asked, only_check, handle).await),
                Err(status) => status,
            });
        }
        if request.operation != ControlOperation::DirectOperateNoResponse {
            self.server.control_done(session, request.id, &statuses);
        }
    }

    /// What a command asks for.
    fn asked(
        &self,
        session: usize,
        index: u16,
        command: &OutputCommand,
    ) -> Result<Asked, CommandStatus> {
        let master = self.config.masters.get(session);
        let master = master.filter(|master| master.commands);
        let by = master.ok_or(CommandStatus::NotAuthorized)?.name.clone();
        let (unit, change) = match command {
            OutputCommand::Crob(crob) => {
                let on = crob.state().ok_or(CommandStatus::NotSupported)?;
                (usize::from(index), Change::Held(on))
            }
            OutputCommand::Analog(value) => {
                let part = usize::from(index % 2);
                (usize::from(index / 2), Change::Preset(part, value.value()))
            }
        };
        let unit = self.units.get(unit).ok_or(CommandStatus::NotSupported)?;
        Ok(Asked {
            by,
            unit: *unit,
            change,
        })
    }
}

fn status(done: Result<(), Refused>) -> CommandStatus {
    match done {
        Ok(()) => CommandStatus::Success,
        Err(Refused::Loop(Refusal::Unknown)) => CommandStatus::NotSupported,
        Err(Refused::Loop(Refusal::OutOfRange)) => CommandStatus::OutOfRange,
        Err(Refused::Loop(Refusal::Offline)) => CommandStatus::DownstreamFail,
        Err(Refused::NothingPreset) => CommandStatus::Blocked,
        Err(Refused::Stopping) => CommandStatus::HardwareError,
    }
}
