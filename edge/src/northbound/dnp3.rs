//! The DNP3 outstation: what is published and what devices report goes into its points, what masters
//! command goes to the loop. A master that hangs is its own trouble: nothing here waits for one. Commands are carried
//! out one after the other; while a device takes its time, everything else is told as ever.

use std::{io, net::SocketAddr, time::Duration};

use protocols::{
    dnp3::{
        Flags, Kind, Sample,
        app::{CommandStatus, OutputCommand},
        link::LinkConfig,
        outstation::{
            ControlOperation, ControlRequest, OutstationConfig, OutstationEvent, PointConfig,
            server::{OutstationServer, ServerConfig},
        },
    },
    point::{Cause, Value},
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    commands::{Asked, Commander, Outputs, Refused},
    der,
    feed::Heard,
    points::{self, Entry},
    watch::Watch,
};
use crate::{
    cycle::{NotSwitched, Refusal, SwitchStep},
    published::Handle,
    site::{Dnp3, Site},
};

/// How long commands that want no answer are worth carrying out: as long as others wait for theirs.
const UNANSWERED: Duration = Duration::from_secs(5);

/// The outstation of a site, listening; [`Station::serve`] runs it.
pub struct Station {
    server: OutstationServer,
    events: mpsc::Receiver<(usize, OutstationEvent)>,
    config: Dnp3,
    entries: Vec<Entry>,
    outputs: Outputs,
    commands: Commander,
}

impl Station {
    /// Opens the port.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(site: &Site, config: &Dnp3) -> io::Result<Self> {
        let of = (points::list(site), Outputs::of(site));
        Self::with(site, config, config.listen, of).await
    }

    /// Opens the port of the feeder as one DER, an outstation of its own for the same masters.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind_der(site: &Site, config: &Dnp3, listen: SocketAddr) -> io::Result<Self> {
        Self::with(site, config, listen, (der::list(site), Outputs::Der)).await
    }

    async fn with(
        site: &Site,
        config: &Dnp3,
        listen: SocketAddr,
        (entries, outputs): (Vec<Entry>, Outputs),
    ) -> io::Result<Self> {
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
        let (server, events) = OutstationServer::bind(listen, &masters, &list, bounds).await?;
        Ok(Self {
            server,
            events,
            config: config.clone(),
            entries,
            outputs,
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
            while let Some((session, event)) = events.recv().await {
                match event {
                    OutstationEvent::Control(request) => {
                        obeying.control(session, &request, &handle).await;
                    }
                    OutstationEvent::Deselected(commands) => {
                        obeying.deselect(session, &commands, &handle).await;
                    }
                    _ => {}
                }
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
fn say(server: &OutstationServer, entries: &[Entry], heard: Heard) {
    for (place, said) in heard.said {
        let PointConfig { kind, index, .. } = entries[place].config;
        let sample = Sample {
            value: said.value,
            flags: Flags::from_quality(kind, said.quality),
            time: Some(said.time),
        };
        server.update(kind, index, sample);
    }
    if heard.lost > 0 {
        tracing::warn!(batches = heard.lost, "dnp3: changes of devices lost");
        server.events_lost();
    }
}

/// What carries commands out.
struct Obeying<'s> {
    server: &'s OutstationServer,
    config: &'s Dnp3,
    outputs: &'s Outputs,
    commands: Commander,
}

impl Obeying<'_> {
    async fn control(&mut self, session: usize, request: &ControlRequest, handle: &Handle) {
        let step = match request.operation {
            ControlOperation::Select => SwitchStep::Select,
            ControlOperation::Operate => SwitchStep::Operate,
            ControlOperation::DirectOperate | ControlOperation::DirectOperateNoResponse => {
                SwitchStep::Direct
            }
        };
        let now = Instant::now();
        let left = match request.operation {
            ControlOperation::DirectOperateNoResponse => Some(UNANSWERED),
            _ => self.server.awaits(session, request.id),
        };
        let Some(left) = left else {
            return self.too_late(session, request, handle).await;
        };
        let mut statuses = Vec::with_capacity(request.commands.len());
        for command in &request.commands {
            let until = Some(now + left);
            statuses.push(self.decide((session, command), step, until, handle).await);
        }
        if request.operation == ControlOperation::DirectOperateNoResponse {
            return;
        }
        let stands = self.server.control_done(session, request.id, &statuses);
        if step == SwitchStep::Select && !stands {
            let commands = request.commands.iter().zip(&statuses);
            let selected = commands.filter(|(_, status)| **status == CommandStatus::Success);
            let selected: Vec<_> = selected.map(|(command, _)| *command).collect();
            self.deselect(session, &selected, handle).await;
        }
    }

    /// Commands that their master takes for failed, or has forgotten, are not done.
    async fn too_late(&mut self, session: usize, request: &ControlRequest, handle: &Handle) {
        tracing::warn!(session, "dnp3: nobody waits for commands any more");
        if request.operation == ControlOperation::Operate {
            // The selection was for this.
            self.deselect(session, &request.commands, handle).await;
        }
    }

    /// Carries one command out; what its master is told.
    async fn decide(
        &mut self,
        (session, (index, command)): (usize, &(u16, OutputCommand)),
        step: SwitchStep,
        until: Option<Instant>,
        handle: &Handle,
    ) -> CommandStatus {
        let asked = match self.asked(session, *index, command) {
            Ok(asked) => asked,
            Err(status) => return status,
        };
        let done = self.commands.carry_out(asked, step, until, handle).await;
        if done == Err(Refused::Late) {
            tracing::warn!(session, index, "dnp3: a command was not done in time");
        }
        let status = status(done);
        let written = step != SwitchStep::Select && status == CommandStatus::Success;
        if let (Outputs::Der, true, OutputCommand::Analog(value)) = (self.outputs, written, command)
        {
            self.written(*index, value.value());
        }
        status
    }

    /// What was written to the DER stands there for all masters.
    fn written(&self, index: u16, value: f64) {
        let sample = Sample {
            value: Value::Analog(value),
            flags: Flags::ONLINE,
            time: None,
        };
        self.server.update(Kind::AnalogOutput, index, sample);
    }

    /// Gives back what was selected.
    async fn deselect(&mut self, session: usize, of: &[(u16, OutputCommand)], handle: &Handle) {
        for (index, command) in of {
            if let Ok(asked) = self.asked(session, *index, command) {
                let step = SwitchStep::Deselect;
                if let Err(why) = self.commands.carry_out(asked, step, None, handle).await {
                    tracing::info!(index, %why, "dnp3: a selection was not given back");
                }
            }
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
        let what = match command {
            OutputCommand::Crob(crob) => {
                let on = crob.state().ok_or(CommandStatus::NotSupported)?;
                self.outputs.binary(usize::from(index), on)
            }
            OutputCommand::Analog(value) => self.outputs.analog(usize::from(index), value.value()),
        };
        let what = what.ok_or(CommandStatus::NotSupported)?;
        Ok(Asked { by, what })
    }
}

fn status(done: Result<(), Refused>) -> CommandStatus {
    match done {
        Ok(()) => CommandStatus::Success,
        Err(Refused::Loop(Refusal::Unknown)) => CommandStatus::NotSupported,
        Err(Refused::Loop(Refusal::OutOfRange)) => CommandStatus::OutOfRange,
        Err(Refused::Loop(Refusal::Offline)) => CommandStatus::DownstreamFail,
        Err(Refused::Breaker(NotSwitched::Unknown)) => CommandStatus::NotSupported,
        Err(Refused::Breaker(NotSwitched::AlreadyThere)) => CommandStatus::AlreadyComplete,
        Err(Refused::Breaker(NotSwitched::Busy)) => CommandStatus::AlreadyActive,
        Err(Refused::Breaker(NotSwitched::Selected)) => CommandStatus::BlockedOtherMaster,
        Err(Refused::Breaker(NotSwitched::NotSelected)) => CommandStatus::NoSelect,
        Err(Refused::Breaker(NotSwitched::Offline)) => CommandStatus::DownstreamFail,
        Err(Refused::Breaker(NotSwitched::Device(why))) => downstream(why.cause),
        Err(Refused::NothingPreset) => CommandStatus::Blocked,
        // The outstation says the same of those that nobody has decided on in time.
        Err(Refused::Late | Refused::Stopping) => CommandStatus::HardwareError,
    }
}

/// What a device's reason for a refusal is for a master.
fn downstream(cause: Cause) -> CommandStatus {
    match cause {
        Cause::NotSupported => CommandStatus::NotSupported,
        Cause::NotSelected => CommandStatus::NoSelect,
        Cause::Busy => CommandStatus::AlreadyActive,
        Cause::Taken => CommandStatus::BlockedOtherMaster,
        Cause::AlreadyThere => CommandStatus::AlreadyComplete,
        Cause::Local => CommandStatus::DownstreamLocal,
        Cause::Blocked => CommandStatus::Blocked,
        Cause::NotAllowed => CommandStatus::NotAuthorized,
        Cause::OutOfRange => CommandStatus::OutOfRange,
        Cause::Other => CommandStatus::DownstreamFail,
    }
}
