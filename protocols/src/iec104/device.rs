//! The task of an RTU over IEC 104 whose points are an [`ObjectMap`].

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Cause,
    map::{CommandSpec, ObjectMap, PointSpec},
    master::{MasterConfig, MasterEvent, Measurement, Outcome, Request, client::MasterClient},
};
use crate::{
    device::{Clock, DeviceEvent, DeviceState, Ports},
    point::{
        self, Action, Command, CommandStatus, DeviceId, PointId, Rejection, Timestamp, Update,
    },
    tcp::{ClientConfig, ClientEvent},
};

/// An RTU on a site.
#[derive(Clone, Debug)]
pub struct Iec104Config {
    /// How to reach it.
    pub client: ClientConfig,
    /// How to deal with it. It is online once it has answered an interrogation, and each is a poll.
    pub master: MasterConfig,
    /// What it has; without [`ObjectMap::problems`].
    pub map: ObjectMap,
}

/// Listens to the station, interrogates it and carries out commands until `ports.stop` fires.
pub async fn run(config: Iec104Config, ports: Ports) {
    let stop = ports.stop.clone();
    stop.run_until_cancelled_owned(Rtu::new(&config, ports).run(config))
        .await;
}

struct Rtu {
    points: BTreeMap<u32, (PointSpec, PointId)>,
    commands: HashMap<PointId, CommandSpec>,
    /// Commands under way, by the number of their request, and what they select.
    pending: HashMap<u64, (u64, Option<PointId>)>,
    /// Commands selected on this connection: the station forgets them with it.
    selected: HashSet<PointId>,
    online: bool,
    clock: Clock,
    ports: Ports,
}

/// Nobody listens any more.
struct Unheard;

impl Rtu {
    fn new(config: &Iec104Config, ports: Ports) -> Self {
        let id = |name: &str| PointId::new(&ports.device, name);
        let map = &config.map;
        let points = map.points.iter().map(|p| (p.ioa, (p.clone(), id(&p.name))));
        let commands = map.commands.iter().map(|c| (id(&c.name), c.clone()));
        Self {
            points: points.collect(),
            commands: commands.collect(),
            pending: HashMap::new(),
            selected: HashSet::new(),
            online: false,
            clock: config.client.clock,
            ports,
        }
    }

    async fn run(mut self, config: Iec104Config) {
        let master = MasterConfig {
            termination: config.map.termination,
            ..config.master
        };
        let (client, mut events) = MasterClient::start(config.client, master);
        loop {
            let heard = tokio::select! {
                biased;
                Some(command) = self.ports.commands.recv() => self.command(&client, &command).await,
                event = events.recv() => match event {
                    Some((_, event)) => self.event(event).await,
                    None => return,
                },
            };
            if heard.is_err() {
                return;
            }
        }
    }

    async fn event(&mut self, event: ClientEvent<MasterEvent>) -> Result<(), Unheard> {
        match event {
            ClientEvent::Connecting => self.state(DeviceState::Connecting).await,
            ClientEvent::Disconnected { error, retry_in } => {
                self.online = false;
                self.selected.clear();
                self.state(DeviceState::Offline { error, retry_in }).await
            }
            ClientEvent::Session(event) => self.session(event).await,
        }
    }

    async fn session(&mut self, event: MasterEvent) -> Result<(), Unheard> {
        match event {
            MasterEvent::Measurements(measurements) => {
                let updates: Vec<Update> =
                    measurements.iter().filter_map(|m| self.update(m)).collect();
                self.tell(DeviceEvent::Updates(updates)).await
            }
            MasterEvent::Interrogated { complete, took } => {
                if !complete {
                    tracing::debug!(device = %self.ports.device, "iec104 interrogation not answered");
                    return Ok(());
                }
                if !self.online {
                    self.online = true;
                    self.state(DeviceState::Online).await?;
                }
                // The session asks when it is due, and does not wait for anything else.
                let late = std::time::Duration::ZERO;
                self.tell(DeviceEvent::Polled { took, late }).await
            }
            MasterEvent::Done { id, outcome } => match self.pending.remove(&id) {
                Some((command, selects)) => {
                    let selected = selects.filter(|_| outcome == Outcome::Done);
                    self.selected.extend(selected);
                    self.done(command, status(outcome)).await
                }
                None => Ok(()),
            },
            MasterEvent::Closed(error) => {
                tracing::debug!(device = %self.ports.device, %error, "iec104 connection given up");
                Ok(())
            }
            MasterEvent::Started | MasterEvent::Initialised => Ok(()),
        }
    }

    /// None: an object that is not in the map, or not as it says.
    fn update(&self, measurement: &Measurement) -> Option<Update> {
        let (spec, point) = self.points.get(&measurement.ioa)?;
        let sample = &measurement.sample;
        (spec.kind == measurement.kind).then(|| Update {
            point: point.clone(),
            value: spec.value(sample.value),
            quality: sample.qds.quality(measurement.kind),
            time: sample
                .time
                .unwrap_or_else(|| Timestamp::received((self.clock)())),
        })
    }

    async fn command(&mut self, client: &MasterClient, command: &Command) -> Result<(), Unheard> {
        if (self.clock)() > command.expires_unix_us {
            let late = CommandStatus::NotSent("expired before it could be sent".into());
            return self.done(command.id, late).await;
        }
        match self.request(command) {
            // It has no selection.
            Ok(None) => self.done(command.id, CommandStatus::Done).await,
            Ok(Some(request)) => {
                let selects = matches!(request, Request::Select(_));
                let pending = (command.id, selects.then(|| command.point.clone()));
                self.pending.insert(client.request(request), pending);
                Ok(())
            }
            Err(why) => self.done(command.id, CommandStatus::Rejected(why)).await,
        }
    }

    /// What to ask of the station; none: nothing, for it has no selection.
    fn request(&mut self, command: &Command) -> Result<Option<Request>, Rejection> {
        let point = &command.point;
        let spec = self.commands.get(point);
        let spec = spec.ok_or_else(|| format!("no command {point}"))?;
        let selects = spec.select;
        let direct = |command| Request::Command {
            command,
            select: false,
        };
        Ok(Some(match command.action {
            Action::Write(value) => Request::Command {
                command: spec.command(value)?,
                select: selects,
            },
            Action::Operate(value) if !selects => direct(spec.command(value)?),
            Action::Operate(value) if self.selected.remove(point) => direct(spec.command(value)?),
            Action::Operate(_) => {
                let why = "its selection went with the connection";
                return Err(point::Cause::NotSelected.because(why));
            }
            Action::Select(value) if selects => Request::Select(spec.command(value)?),
            Action::Cancel(value) if self.selected.remove(point) => {
                Request::Cancel(spec.command(value)?)
            }
            Action::Select(value) | Action::Cancel(value) => {
                spec.command(value)?;
                return Ok(None);
            }
            Action::Der(_) => {
                return Err("an RTU takes single values, no setpoint of a DER".into());
            }
        }))
    }

    async fn state(&self, state: DeviceState) -> Result<(), Unheard> {
        self.tell(DeviceEvent::State(state)).await
    }

    async fn done(&self, id: u64, status: CommandStatus) -> Result<(), Unheard> {
        self.tell(DeviceEvent::CommandDone { id, status }).await
    }

    async fn tell(&self, event: DeviceEvent) -> Result<(), Unheard> {
        let event: (DeviceId, DeviceEvent) = (self.ports.device.clone(), event);
        self.ports.events.send(event).await.map_err(|_| Unheard)
    }
}

fn status(outcome: Outcome) -> CommandStatus {
    match outcome {
        Outcome::Done => CommandStatus::Done,
        Outcome::Refused(cause) => {
            let not_supported = |why| point::Cause::NotSupported.because(why);
            CommandStatus::Rejected(match cause {
                Cause::UNKNOWN_TYPE => not_supported("the station does not know such commands"),
                Cause::UNKNOWN_ADDRESS => not_supported("the station has another common address"),
                Cause::UNKNOWN_OBJECT => not_supported("the station has no such object"),
                Cause::TERMINATION => "the station could not carry it out".into(),
                Cause(cause) => format!("the station refused it (cause {cause})").into(),
            })
        }
        Outcome::NoAnswer => CommandStatus::Unknown("the station did not answer in time".into()),
        Outcome::Disconnected => CommandStatus::Unknown("the connection went".into()),
        Outcome::NotSent => CommandStatus::NotSent("the device is offline".into()),
    }
}
