//! The task of an IED whose points are an [`ObjectMap`].

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use iec61850_client::{AccessResult, TypeSpecification, mms_compat::mms_data_to_mms_value};
use iec61850_model::{FC, MmsValue};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

pub use super::association::Place;
use super::{
    Reference,
    association::{Association, Failure, Lost},
    control::Controls,
    directory::{Directory, object_path},
    map::{CommandSpec, ObjectMap},
    reports::{End, Listener},
    store::Store,
};
use crate::{
    device::{Clock, Description, DeviceEvent, DeviceState, Ports},
    point::{Command, CommandStatus, DeviceId, PointId, Timestamp},
};

/// An IED on a site.
#[derive(Clone, Debug)]
pub struct Iec61850Config {
    /// Where it is.
    pub place: Place,
    /// Its name, which those of its logical devices begin with.
    pub ied: String,
    /// Everything comes at least this often: by reports, or read.
    pub poll: Duration,
    /// Between attempts to connect: this at first, twice as long each time, up to [`Self::max_retry`].
    pub min_retry: Duration,
    /// Between attempts at most.
    pub max_retry: Duration,
    /// What it has; without [`ObjectMap::problems`].
    pub map: ObjectMap,
    /// Where times of receipt come from.
    pub clock: Clock,
}

impl Iec61850Config {
    /// With usual times.
    #[must_use]
    pub fn new(place: Place, ied: String, map: ObjectMap) -> Self {
        Self {
            place,
            ied,
            poll: Duration::from_secs(1),
            min_retry: Duration::from_secs(1),
            max_retry: Duration::from_secs(30),
            map,
            clock: crate::device::system_clock,
        }
    }
}

/// Objects asked for in one request.
const OBJECTS: usize = 16;

/// Listens to the IED, reads what it does not report and carries out commands until `ports.stop` fires.
pub async fn run(config: Iec61850Config, ports: Ports) {
    let Ports {
        device,
        events,
        mut commands,
        stop,
    } = ports;
    let ied = Ied::new(config, device, events);
    let _ = stop.run_until_cancelled_owned(ied.run(&mut commands)).await;
}

/// Nobody listens any more.
pub(super) struct Unheard;

/// What the tasks of both associations share, and what outlives them.
pub(super) struct Ied {
    pub(super) config: Iec61850Config,
    pub(super) device: DeviceId,
    events: mpsc::Sender<(DeviceId, DeviceEvent)>,
    commands: HashMap<PointId, CommandSpec>,
    inner: Mutex<Inner>,
}

struct Inner {
    store: Store,
    directory: Arc<Directory>,
    /// Points that reports carry.
    reported: BTreeSet<usize>,
    /// The last entry that was taken over from each buffered control block.
    entries: HashMap<Reference, Vec<u8>>,
    /// The command under way.
    under_way: Option<u64>,
}

impl Ied {
    fn new(
        config: Iec61850Config,
        device: DeviceId,
        events: mpsc::Sender<(DeviceId, DeviceEvent)>,
    ) -> Self {
        let id = |name: &str| PointId::new(&device, name);
        let points = config.map.points.iter();
        let commands = config.map.commands.iter();
        Self {
            inner: Mutex::new(Inner {
                store: Store::new(points.map(|p| (p.clone(), id(&p.name)))),
                directory: Arc::default(),
                reported: BTreeSet::new(),
                entries: HashMap::new(),
                under_way: None,
            }),
            commands: commands.map(|c| (id(&c.name), c.clone())).collect(),
            config,
            device,
            events,
        }
    }

    async fn run(self, commands: &mut mpsc::Receiver<Command>) -> Result<(), Unheard> {
        let mut wait = self.config.min_retry;
        loop {
            self.tell(DeviceEvent::State(DeviceState::Connecting))
                .await?;
            let connecting = self.refusing(commands, self.connect());
            let lost = match connecting.await? {
                Ok((listener, reader)) => {
                    wait = self.config.min_retry;
                    let (listening, reading) = (listener.run(), reader.run(commands));
                    let end = tokio::select! {
                        end = listening => end,
                        end = reading => end,
                    };
                    match end {
                        End::Lost(lost) => lost,
                        End::Unheard => return Err(Unheard),
                    }
                }
                Err(lost) => lost,
            };
            let under_way = self.lock().under_way.take();
            if let Some(id) = under_way {
                self.done(id, CommandStatus::Unknown(lost.0.clone()))
                    .await?;
            }
            let (error, retry_in) = (lost.0, wait);
            self.tell(DeviceEvent::State(DeviceState::Offline { error, retry_in }))
                .await?;
            self.refusing(commands, sleep(wait)).await?;
            wait = (2 * wait).min(self.config.max_retry);
        }
    }

    /// Does what takes a while without a connection; commands are refused meanwhile.
    async fn refusing<T>(
        &self,
        commands: &mut mpsc::Receiver<Command>,
        doing: impl Future<Output = T>,
    ) -> Result<T, Unheard> {
        tokio::pin!(doing);
        loop {
            tokio::select! {
                done = &mut doing => return Ok(done),
                Some(command) = commands.recv() => {
                    let offline = CommandStatus::NotSent("the device is offline".into());
                    self.done(command.id, offline).await?;
                }
            }
        }
    }

    async fn connect(&self) -> Result<(Listener<'_>, Reader<'_>), Lost> {
        self.lock().reported.clear();
        let association = self.config.place.associate().await?;
        let mut reader = Reader::new(self, association);
        reader.learn().await?;
        // Two: waiting for reports holds an association.
        let association = self.config.place.associate().await?;
        let listener = Listener::start(self, association).await?;
        Ok((listener, reader))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whole after each of its steps.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the crate calls a report control block.
    pub(super) fn block_reference(&self, block: &Reference) -> String {
        format!("{}{block}", self.config.ied)
    }

    /// Where a data set's member is; `None`: nowhere that is known.
    pub(super) fn path_of(&self, reference: &str, fc: FC) -> Option<String> {
        let (domain, rest) = reference.split_once('/')?;
        let (ln, names) = rest.split_once('.')?;
        Some(format!("{domain}/{ln}${fc}${}", names.replace('.', "$")))
    }

    /// Notes that reports carry what these members hold.
    pub(super) fn reported<'m>(&self, members: impl Iterator<Item = &'m str>) {
        let inner = &mut *self.lock();
        let points = members.flat_map(|member| inner.directory.values_under(member));
        inner.reported.extend(points);
    }

    pub(super) fn entry(&self, block: &Reference) -> Option<Vec<u8>> {
        self.lock().entries.get(block).cloned()
    }

    pub(super) fn remember(&self, block: &Reference, entry: Vec<u8>) {
        self.lock().entries.insert(block.clone(), entry);
    }

    /// Passes on what one message says.
    pub(super) async fn take<'v>(
        &self,
        values: impl Iterator<Item = (&'v str, &'v MmsValue)>,
        sent: Timestamp,
    ) -> Result<(), Unheard> {
        let updates = {
            let inner = &mut *self.lock();
            inner.store.take(&inner.directory, values, sent)
        };
        match updates.is_empty() {
            true => Ok(()),
            false => self.tell(DeviceEvent::Updates(updates)).await,
        }
    }

    async fn done(&self, id: u64, status: CommandStatus) -> Result<(), Unheard> {
        self.tell(DeviceEvent::CommandDone { id, status }).await
    }

    async fn tell(&self, event: DeviceEvent) -> Result<(), Unheard> {
        let event = (self.device.clone(), event);
        self.events.send(event).await.map_err(|_| Unheard)
    }
}

/// The association for reads and commands.
struct Reader<'i> {
    ied: &'i Ied,
    association: Arc<Association>,
    controls: Controls<'i>,
    /// What is read as one: reference, constraint, path, and the points in it.
    objects: Vec<(String, FC, String, Vec<usize>)>,
}

impl<'i> Reader<'i> {
    fn new(ied: &'i Ied, association: Arc<Association>) -> Self {
        let config = &ied.config;
        Self {
            controls: Controls::new(&config.place, &config.ied, Arc::clone(&association)),
            ied,
            association,
            objects: Vec::new(),
        }
    }

    /// Asks the IED who it is, and what the objects are made of that hold points.
    async fn learn(&mut self) -> Result<(), Lost> {
        self.describe().await?;
        let ied = self.ied;
        let mut directory = Directory::default();
        let mut missing = Vec::new();
        for (number, spec) in ied.config.map.points.iter().enumerate() {
            let domain = spec.reference.domain(&ied.config.ied);
            // The map's check has seen that a point has a functional constraint.
            let (Some(item), Some(fc)) = (spec.reference.item(), spec.reference.fc()) else {
                continue;
            };
            let path = format!("{domain}/{item}");
            let Some(object) = object_path(&path).map(str::to_owned) else {
                continue;
            };
            if !directory.knows(&object) {
                let name = format!("{domain}/{}", spec.reference.object());
                if let Some(of) = self.type_of(&name, fc).await? {
                    directory.know(object.clone(), of);
                    self.objects.push((name, fc, object.clone(), Vec::new()));
                }
            }
            match directory.place(number, spec, &path) {
                Ok(()) => {
                    let known = self.objects.iter_mut().find(|known| known.2 == object);
                    known.into_iter().for_each(|known| known.3.push(number));
                }
                Err(why) => missing.push(why),
            }
        }
        let nothing = missing.len() == ied.config.map.points.len();
        let missing = missing.join("; ");
        if nothing {
            return Err(Lost(format!("it has none of the points: {missing}")));
        }
        if !missing.is_empty() {
            tracing::warn!(device = %ied.device, missing, "points that the IED has not");
        }
        ied.lock().directory = Arc::new(directory);
        Ok(())
    }

    async fn describe(&self) -> Result<(), Lost> {
        let asked = self.association.get_server_identity();
        match self.ied.config.place.ask(asked).await {
            Ok(identity) => {
                let description = Description {
                    manufacturer: identity.vendor,
                    model: identity.model,
                    version: identity.revision,
                    ..Description::default()
                };
                // That nobody listens is noticed with the next state.
                let _ = self.ied.tell(DeviceEvent::Described(description)).await;
                Ok(())
            }
            Err(Failure::Refused(_)) => Ok(()),
            Err(Failure::Lost(lost)) => Err(lost),
        }
    }

    /// The type of a data object; `None`: the IED has none of this name.
    async fn type_of(&self, name: &str, fc: FC) -> Result<Option<TypeSpecification>, Lost> {
        let asked = self.association.get_variable_specification(name, fc);
        match self.ied.config.place.ask(asked).await {
            Ok(of) => Ok(Some(of)),
            Err(Failure::Refused(_)) => Ok(None),
            Err(Failure::Lost(lost)) => Err(lost),
        }
    }

    async fn run(mut self, commands: &mut mpsc::Receiver<Command>) -> End {
        match self.serve(commands).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn serve(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Result<std::convert::Infallible, End> {
        let poll = self.ied.config.poll;
        let mut due = Instant::now();
        let mut online = false;
        loop {
            tokio::select! {
                biased;
                Some(command) = commands.recv() => self.command(&command).await?,
                () = sleep_until(due) => {
                    let began = Instant::now();
                    self.read().await?;
                    if !online {
                        online = true;
                        self.ied.tell(DeviceEvent::State(DeviceState::Online)).await?;
                    }
                    let (took, late) = (began.elapsed(), began - due);
                    self.ied.tell(DeviceEvent::Polled { took, late }).await?;
                    // What was missed is not made up for.
                    due = (due + poll).max(Instant::now());
                }
            }
        }
    }

    /// Reads what reports do not carry; at least something, to see that the IED is there.
    async fn read(&self) -> Result<(), End> {
        let reported = self.ied.lock().reported.clone();
        let unreported = |object: &&(String, FC, String, Vec<usize>)| {
            object.3.iter().any(|number| !reported.contains(number))
        };
        let mut objects: Vec<_> = self.objects.iter().filter(unreported).collect();
        let only_to_see = objects.is_empty();
        if only_to_see {
            objects.extend(self.objects.first());
        }
        for objects in objects.chunks(OBJECTS) {
            let targets: Vec<(&str, FC)> = objects.iter().map(|o| (o.0.as_str(), o.1)).collect();
            let asked = self.association.read_objects(&targets);
            let results = match self.ied.config.place.ask(asked).await {
                Ok(results) => results,
                Err(Failure::Refused(why) | Failure::Lost(Lost(why))) => {
                    return Err(End::Lost(Lost(format!("read: {why}"))));
                }
            };
            let values: Vec<(&str, MmsValue)> = objects
                .iter()
                .zip(&results)
                .filter_map(|(object, result)| match result {
                    AccessResult::Success(data) => Some((object.2.as_str(), mms_data_to_mms_value(data))),
                    AccessResult::Failure(error) => {
                        tracing::debug!(device = %self.ied.device, object = object.0, ?error, "not read");
                        None
                    }
                })
                .collect();
            if !only_to_see {
                let received = Timestamp::received((self.ied.config.clock)());
                let values = values.iter().map(|(path, value)| (*path, value));
                self.ied.take(values, received).await?;
            }
        }
        Ok(())
    }

    async fn command(&mut self, command: &Command) -> Result<(), End> {
        if (self.ied.config.clock)() > command.expires_unix_us {
            let late = CommandStatus::NotSent("expired before it could be sent".into());
            return Ok(self.ied.done(command.id, late).await?);
        }
        let point = &command.point;
        let Some(spec) = self.ied.commands.get(point) else {
            let rejected = CommandStatus::Rejected(format!("no command {point}").into());
            return Ok(self.ied.done(command.id, rejected).await?);
        };
        self.ied.lock().under_way = Some(command.id);
        let (status, left) = self
            .controls
            .command(spec, command.action, command.origin)
            .await;
        self.ied.lock().under_way = None;
        self.ied.done(command.id, status).await?;
        left.map_err(End::Lost)
    }
}
