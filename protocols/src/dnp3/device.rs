//! The task of a device that is a DNP3 outstation: its master, as [`crate::device`] wants it.

use std::{collections::HashMap, time::Duration};

use super::{
    Kind,
    app::CommandStatus as Answer,
    map::{PointMap, PointSpec},
    master::{
        AssociationConfig, MasterEvent, Measurement, Outcome, Request, Select, client::MasterClient,
    },
};
use crate::{
    device::{Clock, DeviceEvent, DeviceState, Ports},
    point::{Action, Cause, Command, CommandStatus, PointId, Rejection, Timestamp, Update},
    tcp::{ClientConfig, ClientEvent, ClientEvents},
};

/// A DNP3 outstation on a site.
#[derive(Clone, Debug)]
pub struct Dnp3Config {
    /// How to reach it.
    pub client: ClientConfig,
    /// What is asked of it, and when.
    pub association: AssociationConfig,
    /// What it has; without [`PointMap::problems`].
    pub map: PointMap,
}

/// Polls the outstation, takes what it sends by itself and carries out commands until `ports.stop` fires.
///
/// Its events are reported in their order, with its times; present values that have no time get that of
/// their receipt.
pub async fn run(config: Dnp3Config, ports: Ports) {
    let stop = ports.stop.clone();
    let clock = config.client.clock;
    let (client, events) = MasterClient::start(config.client, &[config.association]);
    let task = Task {
        places: places(config.map.points, &ports),
        select: match config.map.direct {
            true => Select::Direct,
            false => Select::BeforeOperate,
        },
        outstation: config.association.link.remote,
        retry: config.association.retry_delay,
        clock,
        client,
        waiting: HashMap::new(),
        online: false,
        ports,
    };
    stop.run_until_cancelled_owned(task.run(events)).await;
}

fn places(points: Vec<PointSpec>, ports: &Ports) -> HashMap<(Kind, u16), (PointSpec, PointId)> {
    let place = |point: PointSpec| {
        let id = PointId::new(&ports.device, &point.name);
        ((point.kind, point.index), (point, id))
    };
    points.into_iter().map(place).collect()
}

/// Nobody listens any more.
struct Unheard;

struct Task {
    places: HashMap<(Kind, u16), (PointSpec, PointId)>,
    select: Select,
    outstation: u16,
    retry: Duration,
    clock: Clock,
    client: MasterClient,
    /// Commands on their way, by the request's number.
    waiting: HashMap<u64, u64>,
    /// It was said to be online.
    online: bool,
    ports: Ports,
}

impl Task {
    async fn run(mut self, mut events: ClientEvents<MasterEvent>) {
        let mut heard = Ok(());
        while heard.is_ok() {
            heard = tokio::select! {
                Some((_, event)) = events.recv() => match event {
                    ClientEvent::Connecting => self.state(DeviceState::Connecting).await,
                    ClientEvent::Session(event) => self.hear(event).await,
                    ClientEvent::Disconnected { error, retry_in } => {
                        self.offline(error, retry_in).await
                    }
                },
                Some(command) = self.ports.commands.recv() => self.command(command).await,
                else => Err(Unheard),
            };
        }
    }

    async fn hear(&mut self, event: MasterEvent) -> Result<(), Unheard> {
        match event {
            MasterEvent::Measurements { measurements, .. } => {
                // An answer alone proves little: values do.
                self.online().await?;
                let updates = self.updates(&measurements);
                if updates.is_empty() {
                    return Ok(());
                }
                self.tell(DeviceEvent::Updates(updates)).await
            }
            MasterEvent::Polled { took, late, .. } => {
                self.online().await?;
                self.tell(DeviceEvent::Polled { took, late }).await
            }
            MasterEvent::Online { online: false, .. } => {
                let error = "it does not answer".to_owned();
                self.offline(error, self.retry).await
            }
            MasterEvent::Done { id, outcome } => match self.waiting.remove(&id) {
                Some(command) => self.done(command, status(outcome)).await,
                None => Ok(()),
            },
            MasterEvent::Indications { iin, .. } => {
                tracing::debug!(device = %self.ports.device, ?iin, "dnp3 indications");
                Ok(())
            }
            MasterEvent::Online { online: true, .. }
            | MasterEvent::Octets { .. }
            | MasterEvent::LinkLost => Ok(()),
        }
    }

    fn updates(&self, measurements: &[Measurement]) -> Vec<Update> {
        let now_us = (self.clock)();
        let update = |measurement: &Measurement| {
            let place = (measurement.kind, measurement.index);
            let (spec, id) = self.places.get(&place)?;
            let sample = measurement.sample;
            Some(Update {
                point: id.clone(),
                value: spec.value(sample.value),
                quality: measurement.quality(),
                time: sample.time.unwrap_or(Timestamp::received(now_us)),
            })
        };
        measurements.iter().filter_map(update).collect()
    }

    async fn command(&mut self, command: Command) -> Result<(), Unheard> {
        let ended = match self.operation(&command) {
            Err(status) => status,
            // It has no selection.
            Ok(None) => CommandStatus::Done,
            Ok(Some(request)) => {
                let id = self.client.request(self.outstation, request);
                self.waiting.insert(id, command.id);
                return Ok(());
            }
        };
        self.done(command.id, ended).await
    }

    /// What to ask of the outstation; none: nothing, for it is operated directly.
    fn operation(&self, command: &Command) -> Result<Option<Request>, CommandStatus> {
        let rejected = |why: String| CommandStatus::Rejected(why.into());
        if (self.clock)() > command.expires_unix_us {
            let why = "expired before it could be sent";
            return Err(CommandStatus::NotSent(why.to_owned()));
        }
        if !self.online {
            return Err(CommandStatus::NotSent("the device is offline".to_owned()));
        }
        let selects = self.select == Select::BeforeOperate;
        let (value, how) = match command.action {
            Action::Write(value) => (value, Some(self.select)),
            Action::Select(value) => (value, selects.then_some(Select::Only)),
            Action::Operate(value) if selects => (value, Some(Select::Selected)),
            Action::Operate(value) => (value, Some(Select::Direct)),
            Action::Cancel(_) => return Ok(selects.then_some(Request::Release)),
            Action::Der(_) => {
                let why = "an outstation takes single values, no setpoint of a DER";
                return Err(rejected(why.to_owned()));
            }
        };
        let mut points = self.places.values();
        let point = points.find(|(_, id)| *id == command.point);
        let (spec, _) = point.ok_or_else(|| rejected(format!("no point {}", command.point)))?;
        let output = spec.command(value).map_err(rejected)?;
        Ok(how.map(|how| Request::Operate(how, vec![output])))
    }

    async fn online(&mut self) -> Result<(), Unheard> {
        if self.online {
            return Ok(());
        }
        self.online = true;
        self.state(DeviceState::Online).await
    }

    async fn offline(&mut self, error: String, retry_in: Duration) -> Result<(), Unheard> {
        self.online = false;
        self.state(DeviceState::Offline { error, retry_in }).await
    }

    async fn state(&self, state: DeviceState) -> Result<(), Unheard> {
        self.tell(DeviceEvent::State(state)).await
    }

    async fn done(&self, id: u64, status: CommandStatus) -> Result<(), Unheard> {
        self.tell(DeviceEvent::CommandDone { id, status }).await
    }

    async fn tell(&self, event: DeviceEvent) -> Result<(), Unheard> {
        let event = (self.ports.device.clone(), event);
        let sent = self.ports.events.send(event).await;
        sent.map_err(|_| Unheard)
    }
}

/// What became of a command.
fn status(outcome: Outcome) -> CommandStatus {
    let unknown = |why: &str| CommandStatus::Unknown(why.to_owned());
    match outcome {
        Outcome::Commands(all) => match all.iter().find(|one| **one != Answer::Success) {
            None => CommandStatus::Done,
            Some(why) => CommandStatus::Rejected(rejection(*why)),
        },
        Outcome::Refused(iin) => {
            let why = format!("the outstation refuses the request: {iin:?}");
            CommandStatus::Rejected(Cause::NotSupported.because(why))
        }
        Outcome::NotSelected => {
            let why = "it is not selected any more";
            CommandStatus::Rejected(Cause::NotSelected.because(why))
        }
        Outcome::NoAnswer => unknown("no answer"),
        Outcome::BadAnswer => unknown("the answer was not one to the command"),
        Outcome::Disconnected => unknown("the connection went"),
        Outcome::NotSent => CommandStatus::NotSent("too many requests wait".to_owned()),
        // A selection was given back.
        Outcome::Done(_) => CommandStatus::Done,
        Outcome::Restarting(_) | Outcome::Sent => unknown("no status was asked for"),
    }
}

/// Why an outstation did not do it.
fn rejection(status: Answer) -> Rejection {
    let cause = match status {
        Answer::NotSupported | Answer::FormatError => Cause::NotSupported,
        Answer::NoSelect | Answer::Timeout => Cause::NotSelected,
        Answer::AlreadyActive | Answer::ProcessingLimited | Answer::TooManyOperations => {
            Cause::Busy
        }
        Answer::BlockedOtherMaster => Cause::Taken,
        Answer::AlreadyComplete => Cause::AlreadyThere,
        Answer::Local | Answer::DownstreamLocal => Cause::Local,
        Answer::Blocked | Answer::AutomationInhibit => Cause::Blocked,
        Answer::NotAuthorized => Cause::NotAllowed,
        Answer::OutOfRange => Cause::OutOfRange,
        _ => Cause::Other,
    };
    cause.because(format!("the outstation answers {status:?}"))
}
