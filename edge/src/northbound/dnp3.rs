//! The DNP3 outstation: what is published goes into its points, what masters command goes to the
//! loop. A master that hangs is its own trouble: nothing here waits for one.

use std::{collections::BTreeMap, io};

use protocols::dnp3::{
    Sample,
    app::{CommandStatus, OutputCommand},
    link::LinkConfig,
    outstation::{
        ControlOperation, ControlRequest, OutstationConfig, OutstationEvent, PointConfig,
        server::{OutstationServer, ServerConfig},
    },
};
use solver::network::Id;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::points::{self, Entry, Now};
use crate::{
    cycle::{Refusal, ScadaCommand},
    published::{Handle, Published, Request},
    site::{Dnp3, Site},
};

/// The outstation of a site, listening; [`Station::serve`] runs it.
pub struct Station {
    server: OutstationServer,
    events: mpsc::Receiver<(usize, OutstationEvent)>,
    config: Dnp3,
    entries: Vec<Entry>,
    /// As last given to the server.
    said: Vec<Option<Sample>>,
    units: Vec<Id>,
    /// What each unit is to be held at once it is taken over: active and reactive power.
    preset: BTreeMap<Id, [Option<f64>; 2]>,
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
                ..OutstationConfig::new(LinkConfig::new(config.address, master.address))
            })
            .collect();
        let bounds = ServerConfig::default();
        let (server, events) =
            OutstationServer::bind(config.listen, &masters, &list, bounds).await?;
        Ok(Self {
            server,
            events,
            config: config.clone(),
            said: vec![None; entries.len()],
            entries,
            units: site.units.iter().map(|unit| unit.id).collect(),
            preset: BTreeMap::new(),
        })
    }

    /// Serves until `stop`.
    pub async fn serve(mut self, mut handle: Handle, stop: CancellationToken) {
        loop {
            let published = handle.published.borrow_and_update().clone();
            self.say(&published);
            tokio::select! {
                () = stop.cancelled() => return,
                changed = handle.published.changed() => if changed.is_err() { return },
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
    fn say(&mut self, published: &Published) {
        let now = Now::new(published);
        for (entry, said) in self.entries.iter().zip(&mut self.said) {
            let sample = now.sample(entry);
            let Some(sample) = sample.or_else(|| now.gone(entry, said.as_ref())) else {
                continue;
            };
            // Without a change the time of the last one stands.
            let same = said.is_some_and(|s| (s.value, s.flags) == (sample.value, sample.flags));
            if !same {
                *said = Some(sample);
                self.server
                    .update(entry.config.kind, entry.config.index, sample);
            }
        }
    }

    async fn control(&mut self, session: usize, request: &ControlRequest, handle: &Handle) {
        let mut statuses = Vec::with_capacity(request.commands.len());
        for (index, command) in &request.commands {
            let only_check = request.operation == ControlOperation::Select;
            let asked = self.asked(session, *index, command);
            statuses.push(match asked {
                Ok(asked) => self.carry_out(asked, only_check, handle).await,
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

    async fn carry_out(&mut self, asked: Asked, check: bool, handle: &Handle) -> CommandStatus {
        let held = handle.published.borrow().holds.get(&asked.unit).cloned();
        let preset = self.preset.get(&asked.unit).copied().unwrap_or_default();
        // What is held and not preset since is renewed as it is.
        let or = |part: Option<f64>, held: Option<f64>| part.or(held);
        let mut power = [
            or(preset[0], held.as_ref().map(|hold| hold.p_w)),
            or(preset[1], held.as_ref().map(|hold| hold.q_var)),
        ];
        let hold = match asked.change {
            Change::Held(false) => None,
            Change::Held(true) => match power[0] {
                Some(p_w) => Some((p_w, power[1].unwrap_or(0.0))),
                // Nobody has said at what.
                None => return CommandStatus::Blocked,
            },
            Change::Preset(part, value) => {
                power[part] = Some(value);
                Some((power[0].unwrap_or(0.0), power[1].unwrap_or(0.0)))
            }
        };
        // A preset of a unit that is not held is kept here until it is.
        let check = check || (held.is_none() && matches!(asked.change, Change::Preset(..)));
        let command = ScadaCommand {
            by: asked.by,
            unit: asked.unit,
            hold,
        };
        let (answer, answered) = oneshot::channel();
        let request = Request::Command {
            command,
            check,
            answer,
        };
        if handle.requests.send(request).await.is_err() {
            return CommandStatus::HardwareError;
        }
        match answered.await {
            Ok(Ok(())) => {
                if let Change::Preset(part, value) = asked.change {
                    self.preset.entry(asked.unit).or_default()[part] = Some(value);
                }
                CommandStatus::Success
            }
            Ok(Err(refusal)) => status(refusal),
            // The loop is stopping.
            Err(_) => CommandStatus::HardwareError,
        }
    }
}

/// A command, as far as the outstation understands it.
struct Asked {
    by: String,
    unit: Id,
    change: Change,
}

enum Change {
    /// Take over, or give back.
    Held(bool),
    /// Active (0) or reactive (1) power to hold it at.
    Preset(usize, f64),
}

fn status(refusal: Refusal) -> CommandStatus {
    match refusal {
        Refusal::Unknown => CommandStatus::NotSupported,
        Refusal::OutOfRange => CommandStatus::OutOfRange,
        Refusal::Offline => CommandStatus::DownstreamFail,
    }
}
