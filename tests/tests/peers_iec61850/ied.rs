//! Our client as the appliance runs it, on libiec61850's IED `PEER`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use protocols::{
    device::{DeviceEvent, DeviceState, Ports, system_clock},
    iec61850::{
        ObjectMap,
        device::{Iec61850Config, Place, run},
    },
    point::{Action, Command, CommandStatus, DeviceId, Origin, PointId, Update, Value},
    tls::TlsClient,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::peer::PATIENCE;

const MAP: &str = r#"
reports = ["LD0/LLN0.BR.brcb01", "LD0/LLN0.RP.urcb01"]
point = [
  { name = "w", ref = "LD0/MMXU1.TotW.mag.f[MX]", scale = 1000, unit = "W" },
  { name = "u", ref = "LD0/MMXU1.PhV.phsB.cVal.mag.f[MX]", unit = "V" },
  { name = "wh", ref = "LD0/MMTR1.SupWh.actVal[ST]", kind = "counter", unit = "Wh" },
  { name = "position", ref = "LD0/XCBR1.Pos.stVal[ST]", kind = "double" },
  { name = "closed", ref = "LD0/XCBR1.Pos.stVal[ST]", kind = "closed" },
  { name = "open", ref = "LD0/XCBR1.Pos.stVal[ST]", kind = "open" },
  { name = "ind", ref = "LD0/GGIO1.Ind1.stVal[ST]", kind = "binary" },
  { name = "set", ref = "LD0/GGIO1.Set1.setMag.f[SP]" },
  { name = "switch", ref = "LD0/CSWI1.Pos.stVal[ST]", kind = "double" },
]
command = [
  { name = "set", ref = "LD0/GGIO1.Set1.setMag.f[SP]", scale = 2 },
  { name = "switch", ref = "LD0/CSWI1.Pos" },
  { name = "direct", ref = "LD0/GGIO1.SPCSO1" },
  { name = "selected", ref = "LD0/GGIO1.SPCSO2" },
  { name = "enhanced", ref = "LD0/GGIO1.SPCSO3" },
  { name = "whole", ref = "LD0/GGIO1.ISCSO1" },
  { name = "float", ref = "LD0/GGIO1.AnOut1" },
  { name = "missing", ref = "LD0/GGIO1.SPCSO9" },
]
"#;

pub(crate) struct Ours {
    events: mpsc::Receiver<(DeviceId, DeviceEvent)>,
    commands: mpsc::Sender<Command>,
    /// Everything that came, in order.
    pub(crate) seen: Vec<Update>,
    next: u64,
    _stop: DropGuard,
}

impl Ours {
    pub(crate) fn start(port: u16, tls: Option<TlsClient>) -> Result<Self> {
        let map: ObjectMap = toml::from_str(MAP)?;
        ensure!(map.problems().is_empty(), "{:?}", map.problems());
        let place = Place {
            address: format!("127.0.0.1:{port}"),
            tls,
            timeout: Duration::from_secs(5),
        };
        let quick = Duration::from_millis(200);
        let config = Iec61850Config {
            poll: quick,
            min_retry: quick,
            max_retry: quick,
            ..Iec61850Config::new(place, "PEER".to_owned(), map)
        };
        let (tell, events) = mpsc::channel(64);
        let (commands, orders) = mpsc::channel(8);
        let stop = CancellationToken::new();
        tokio::spawn(run(
            config,
            Ports {
                device: DeviceId::new("d"),
                events: tell,
                commands: orders,
                stop: stop.clone(),
            },
        ));
        Ok(Self {
            events,
            commands,
            seen: Vec::new(),
            next: 0,
            _stop: stop.drop_guard(),
        })
    }

    async fn event<T>(&mut self, mut wanted: impl FnMut(&DeviceEvent) -> Option<T>) -> Result<T> {
        let finding = async {
            loop {
                let (_, event) = self.events.recv().await.context("the device has ended")?;
                if let DeviceEvent::Updates(updates) = &event {
                    self.seen.extend(updates.iter().cloned());
                }
                if let Some(found) = wanted(&event) {
                    return Ok(found);
                }
            }
        };
        timeout(PATIENCE, finding).await?
    }

    pub(crate) async fn online(&mut self) -> Result<()> {
        let online = DeviceEvent::State(DeviceState::Online);
        self.event(|event| (*event == online).then_some(())).await
    }

    /// Why it is offline.
    pub(crate) async fn offline(&mut self) -> Result<String> {
        self.event(|event| match event {
            DeviceEvent::State(DeviceState::Offline { error, .. }) => Some(error.clone()),
            _ => None,
        })
        .await
    }

    /// Waits for a point to have a value; the first such that comes from now on.
    pub(crate) async fn until(&mut self, point: &str, value: Value) -> Result<Update> {
        let found = self.event(|event| match event {
            DeviceEvent::Updates(updates) => {
                let mut updates = updates.iter();
                let fits = |u: &&Update| u.point.name() == point && u.value == value;
                updates.find(fits).cloned()
            }
            _ => None,
        });
        found.await.with_context(|| format!("{point} {value:?}"))
    }

    pub(crate) async fn command(&mut self, point: &str, value: Value) -> Result<CommandStatus> {
        self.act(point, Action::Write(value)).await
    }

    pub(crate) async fn act(&mut self, point: &str, action: Action) -> Result<CommandStatus> {
        self.next += 1;
        let id = self.next;
        let command = Command {
            id,
            point: PointId::new(&DeviceId::new("d"), point),
            action,
            origin: Origin::Scada,
            expires_unix_us: system_clock() + 60_000_000,
        };
        self.commands.send(command).await?;
        self.event(|event| match event {
            DeviceEvent::CommandDone { id: done, status } if *done == id => Some(status.clone()),
            _ => None,
        })
        .await
    }
}
