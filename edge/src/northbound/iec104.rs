//! The IEC 60870-5-104 station: what is published and what devices report goes into its points, what
//! masters command goes to the loop, as with DNP3. Nothing here waits for a master.

use std::io;

use protocols::{
    device::system_clock,
    dnp3,
    iec104::{
        Command, CommandValue, ControlKind, Kind, Sample,
        station::{
            CommandConfig, ControlAnswer, ControlOperation, ControlRequest, GroupConfig,
            PointConfig, SelectMode, StationConfig, StationEvent, server::StationServer,
        },
    },
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    commands::{Asked, Commander, Outputs},
    feed::Heard,
    points::{self, Entry},
    watch::Watch,
};
use crate::{
    cycle::SwitchStep,
    published::Handle,
    site::{Iec104, Iec104Master, Site},
};

/// Address of the point that says that events were lost.
pub const LOST_EVENTS: u32 = 1;
/// First address of what commands a unit to be taken over (single and double commands).
const TAKE_OVER: u32 = 500_000;
/// First address of the set points of powers, two a unit.
const SET_POINTS: u32 = 700_000;

/// Kind and address of a point of the list. Each kind of the list has its block of addresses, in which
/// the index counts.
#[must_use]
pub fn place(entry: &Entry) -> (Kind, u32) {
    let (kind, block) = match entry.config.kind {
        dnp3::Kind::Binary => (Kind::Single, 100_000),
        dnp3::Kind::DoubleBit => (Kind::Double, 200_000),
        dnp3::Kind::BinaryOutput | dnp3::Kind::BinaryCommand => (Kind::Single, 400_000),
        dnp3::Kind::Counter | dnp3::Kind::FrozenCounter => (Kind::Counter, 800_000),
        dnp3::Kind::Analog => (Kind::Float, 300_000),
        dnp3::Kind::AnalogOutput | dnp3::Kind::AnalogCommand => (Kind::Float, 600_000),
    };
    (kind, block + u32::from(entry.config.index))
}

/// Address by which what a point says is commanded; none: it cannot be.
#[must_use]
pub fn command_place(entry: &Entry) -> Option<u32> {
    let block = match entry.config.kind {
        dnp3::Kind::BinaryOutput => TAKE_OVER,
        dnp3::Kind::AnalogOutput => SET_POINTS,
        _ => return None,
    };
    Some(block + u32::from(entry.config.index))
}

/// The station of a site, listening; [`Station::serve`] runs it.
pub struct Station {
    server: StationServer,
    events: mpsc::Receiver<(usize, StationEvent)>,
    config: Iec104,
    entries: Vec<Entry>,
    outputs: Outputs,
    commands: Commander,
}

fn station(config: &Iec104, entries: &[Entry]) -> StationConfig {
    let point = |entry: &Entry| {
        let (kind, ioa) = place(entry);
        PointConfig {
            // Interrogation groups 1 to 3 are DNP3's classes.
            group: entry.config.class.map(|class| class as u8),
            dead_band: entry.config.dead_band,
            ..PointConfig::new(ioa, kind)
        }
    };
    let command = |ioa, kind| CommandConfig {
        ioa,
        kind,
        select: SelectMode::Optional,
    };
    let commands = entries.iter().flat_map(|entry| {
        let kinds: &[ControlKind] = match entry.config.kind {
            dnp3::Kind::BinaryOutput => &[ControlKind::Single, ControlKind::Double],
            _ => &[ControlKind::Float],
        };
        let ioa = command_place(entry);
        ioa.into_iter()
            .flat_map(move |ioa| kinds.iter().map(move |kind| command(ioa, *kind)))
    });
    let group = |master: &Iec104Master| GroupConfig {
        from: master.ips.clone(),
        certificate: master.certificate,
        ..GroupConfig::default()
    };
    StationConfig {
        points: entries.iter().map(point).collect(),
        commands: commands.collect(),
        groups: config.masters.iter().map(group).collect(),
        lost_events: Some(LOST_EVENTS),
        ..StationConfig::new(config.address)
    }
}

impl Station {
    /// Opens the port.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(site: &Site, config: &Iec104) -> io::Result<Self> {
        let entries = points::list(site);
        let station = station(config, &entries);
        let tls = config.tls.as_ref().map(|files| files.server());
        let tls = tls.transpose().map_err(io::Error::other)?;
        let (server, events) =
            StationServer::bind(config.listen, station, tls, system_clock).await?;
        Ok(Self {
            server,
            events,
            config: config.clone(),
            entries,
            outputs: Outputs::of(site),
            commands: Commander::new(site, config.hold),
        })
    }

    /// Serves until `stop`.
    pub async fn serve(self, handle: Handle, stop: CancellationToken) {
        let Self {
            server,
            mut events,
            config,
            entries,
            outputs,
            commands,
        } = self;
        let watch = Watch::new(&entries, handle.feed.follow());
        let telling = watch.tell(handle.published.clone(), |heard| {
            say(&server, &entries, heard);
        });
        let mut obeying = Obeying {
            server: &server,
            config: &config,
            outputs: &outputs,
            commands,
        };
        let obeying = async {
            while let Some((master, event)) = events.recv().await {
                obeying.event(master, event, &handle).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = telling => {}
            () = obeying => {}
        }
    }
}

/// Gives the server what is new; it makes the events.
fn say(server: &StationServer, entries: &[Entry], heard: Heard) {
    for (at, said) in heard.said {
        let (kind, ioa) = place(&entries[at]);
        let sample = Sample::new(kind, said.value, said.quality, Some(said.time));
        server.update(ioa, sample);
    }
    if heard.lost > 0 {
        tracing::warn!(batches = heard.lost, "iec104: changes of devices lost");
        server.events_lost();
    }
}

/// What hears of masters, and carries their commands out.
struct Obeying<'s> {
    server: &'s StationServer,
    config: &'s Iec104,
    outputs: &'s Outputs,
    commands: Commander,
}

impl Obeying<'_> {
    async fn event(&mut self, master: usize, event: StationEvent, handle: &Handle) {
        let by = self.config.masters.get(master).map(|m| m.name.as_str());
        match event {
            StationEvent::Control(request) => self.control(master, &request, handle).await,
            StationEvent::Deselected(command) => self.deselect(master, command, handle).await,
            StationEvent::TooOld { ioa, age_ms } => {
                tracing::warn!(
                    by,
                    ioa,
                    age_ms,
                    "iec104: a command too old to be carried out"
                );
            }
            StationEvent::Transfer { started } => {
                tracing::info!(by, started, "iec104: data transfer");
            }
            StationEvent::Closed(error) => {
                tracing::info!(by, %error, "iec104: a connection is closed");
            }
            // Neither is allowed: our clock is the system's.
            StationEvent::TimeWritten { .. } | StationEvent::Reset { .. } => {}
        }
    }

    async fn control(&mut self, master: usize, request: &ControlRequest, handle: &Handle) {
        let step = match request.operation {
            ControlOperation::Check => SwitchStep::Check,
            ControlOperation::Select => SwitchStep::Select,
            ControlOperation::ExecuteSelected => SwitchStep::Operate,
            ControlOperation::Execute => SwitchStep::Direct,
        };
        let now = Instant::now();
        let Some(left) = self.server.awaits(request.id) else {
            return self.too_late(master, request, handle).await;
        };
        let done = match self.asked(master, request.command) {
            Some(asked) => {
                let until = Some(now + left);
                self.commands.carry_out(asked, step, until, handle).await
            }
            None => {
                tracing::warn!(master, "iec104: a command of a master that may only read");
                self.server.answer(request.id, ControlAnswer::Refused);
                return;
            }
        };
        let answer = match done {
            Ok(()) => ControlAnswer::Done,
            Err(refused) => {
                // The protocol has no word for the reason.
                tracing::info!(master, ioa = request.command.ioa, %refused, "iec104: refused");
                ControlAnswer::Refused
            }
        };
        let stands = self.server.answer(request.id, answer);
        if step == SwitchStep::Select && answer == ControlAnswer::Done && !stands {
            self.deselect(master, request.command, handle).await;
        }
    }

    /// A command that its master takes for refused, or has forgotten, is not done.
    async fn too_late(&mut self, master: usize, request: &ControlRequest, handle: &Handle) {
        let ioa = request.command.ioa;
        tracing::warn!(master, ioa, "iec104: nobody waits for a command any more");
        if request.operation == ControlOperation::ExecuteSelected {
            // The selection was for this.
            self.deselect(master, request.command, handle).await;
        }
    }

    /// Gives back what was selected.
    async fn deselect(&mut self, master: usize, command: Command, handle: &Handle) {
        let Some(asked) = self.asked(master, command) else {
            return;
        };
        let step = SwitchStep::Deselect;
        if let Err(why) = self.commands.carry_out(asked, step, None, handle).await {
            let ioa = command.ioa;
            tracing::info!(master, ioa, %why, "iec104: a selection was not given back");
        }
    }

    /// What a command asks for; none: this master may not.
    fn asked(&self, master: usize, command: Command) -> Option<Asked> {
        let master = self.config.masters.get(master);
        let by = master.filter(|master| master.commands)?.name.clone();
        let ioa = command.ioa;
        let index = |block: u32| usize::try_from(ioa.checked_sub(block)?).ok();
        let what = match command.value {
            CommandValue::Single(on) | CommandValue::Double(on) => {
                self.outputs.binary(index(TAKE_OVER)?, on)
            }
            CommandValue::Float(value) => self.outputs.analog(index(SET_POINTS)?, value.into()),
            _ => None,
        };
        Some(Asked { by, what: what? })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path, time::Duration};

    use super::*;

    #[test]
    fn every_point_has_an_address_of_its_own_and_every_output_a_command() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
        let site = crate::site::load(&file).unwrap();
        let entries = points::list(&site);
        let places: BTreeSet<u32> = entries.iter().map(|entry| place(entry).1).collect();
        assert_eq!(places.len(), entries.len());
        let config = Iec104 {
            listen: "127.0.0.1:0".parse().unwrap(),
            address: 1,
            hold: Duration::from_secs(300),
            tls: None,
            masters: vec![Iec104Master {
                name: "dso".to_owned(),
                ips: Vec::new(),
                certificate: None,
                commands: true,
            }],
        };
        let station = station(&config, &entries);
        assert_eq!(station.problems(), Vec::<String>::new());
        // Single and double to take each unit over, two set points; both for each breaker.
        let breakers = site.breakers().count();
        assert_eq!(station.commands.len(), 4 * site.units.len() + 2 * breakers);
    }
}
