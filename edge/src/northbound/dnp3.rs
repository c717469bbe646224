//! The DNP3 outstation: what is published and what devices report goes into its points, what masters
//! command goes to the loop. A master that hangs is its own trouble: nothing here waits for one.

use std::{collections::BTreeMap, io};

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
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    feed::{FieldPoints, Heard},
    points::{self, Entry},
    values::{Now, Said},
};
use crate::{
    cycle::{Refusal, ScadaCommand},
    published::{Handle, Request},
    site::{Dnp3, Site},
};

/// The outstation of a site, listening; [`Station::serve`] runs it.
pub struct Station {
    server: OutstationServer,
    events: mpsc::Receiver<(usize, OutstationEvent)>,
    config: Dnp3,
    entries: Vec<Entry>,
    /// As last given to the server.
    said: Vec<Option<Said>>,
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
        let mut field = FieldPoints::new(&self.entries, handle.feed.follow());
        self.look(&mut handle, &mut field);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = handle.published.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.look(&mut handle, &mut field);
                }
                heard = field.next() => match heard {
                    Some(heard) => self.hear(heard),
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

    /// Takes over what is published.
    fn look(&mut self, handle: &mut Handle, field: &mut FieldPoints) {
        let published = handle.published.borrow_and_update().clone();
        self.hear(field.catch_up(&published.snapshot));
        let now = Now::new(&published);
        for place in 0..self.entries.len() {
            let of = &self.entries[place].of;
            let said = now.said(of);
            if let Some(said) = said.or_else(|| now.gone(of, self.said[place].as_ref())) {
                self.say(place, said);
            }
        }
    }

    /// Takes over what devices report.
    fn hear(&mut self, heard: Heard) {
        for (place, said) in heard.said {
            self.say(place, said);
        }
        if heard.lost > 0 {
            tracing::warn!(batches = heard.lost, "dnp3: changes of devices lost");
            self.server.events_lost();
        }
    }

    /// Gives the server what is new; it makes the events. Without a change the time of the last one
    /// stands.
    fn say(&mut self, place: usize, said: Said) {
        let before = self.said[place].replace(said);
        if before.is_some_and(|b| (b.value, b.quality) == (said.value, said.quality)) {
            self.said[place] = before;
            return;
        }
        let PointConfig { kind, index, .. } = self.entries[place].config;
        let sample = Sample {
            value: said.value,
            flags: Flags::from_quality(kind, said.quality),
            time: Some(said.time),
        };
        self.server.update(kind, index, sample);
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
