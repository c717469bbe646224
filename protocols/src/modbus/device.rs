//! The task of a device whose points are a [`RegisterMap`].

use tokio_modbus::ExceptionCode;

use super::{
    client::{Client, Link, LinkError},
    map::{PointSpec, RegisterMap},
    mbap::Table,
    plan::{Read, plan},
    supervise::{Session, supervise},
};
use crate::{
    device::{Clock, Description, Ports},
    point::{Action, Command, CommandStatus, DeviceId, PointId, Quality, Timestamp, Update},
};

/// A Modbus device on a site.
#[derive(Clone, Debug)]
pub struct ModbusConfig {
    /// How to reach it.
    pub link: Link,
    /// What it has; without [`RegisterMap::problems`].
    pub map: RegisterMap,
}

/// Polls the device and carries out commands until `ports.stop` fires.
///
/// An exception answer makes the points it concerns invalid and is no reason to disconnect: a read
/// of several points that is refused for its address is split, so that one missing register costs
/// its neighbours one poll only.
pub async fn run(config: ModbusConfig, ports: Ports) {
    let session = RegisterSession::new(config.map, &ports.device, config.link.clock);
    supervise(config.link, session, ports).await;
}

pub(super) struct RegisterSession {
    max_gap: u16,
    points: Vec<(PointSpec, PointId)>,
    reads: Vec<Read>,
    clock: Clock,
}

impl RegisterSession {
    pub(super) fn new(map: RegisterMap, device: &DeviceId, clock: Clock) -> Self {
        let with_id = |point: PointSpec| {
            let id = PointId::new(device, &point.name);
            (point, id)
        };
        Self {
            max_gap: map.max_gap,
            points: map.points.into_iter().map(with_id).collect(),
            reads: Vec::new(),
            clock,
        }
    }

    fn updates(&self, read: &Read, registers: &[u16], updates: &mut Vec<Update>) {
        let now = (self.clock)();
        for &index in &read.wanted {
            let (point, id) = &self.points[index];
            let span = point.span();
            // The plan put the point inside the read, and the client checked the answer's length.
            let start = usize::from(span.address - read.span.address);
            let (value, quality) = point.decode(&registers[start..start + usize::from(span.count)]);
            updates.push(Update {
                point: id.clone(),
                value,
                quality,
                time: Timestamp::received(now),
            });
        }
    }

    fn refused(&self, read: &Read, updates: &mut Vec<Update>) {
        let now = (self.clock)();
        updates.extend(read.wanted.iter().map(|&index| Update {
            point: self.points[index].1.clone(),
            value: self.points[index].0.absent(),
            quality: Quality::INVALID,
            time: Timestamp::received(now),
        }));
    }

    /// Replaces a refused read by one for each of its points.
    fn split(&mut self, refused: usize) {
        let read = self.reads.swap_remove(refused);
        self.reads.extend(read.wanted.into_iter().map(|index| Read {
            span: self.points[index].0.span(),
            wanted: vec![index],
        }));
    }
}

impl Session for RegisterSession {
    async fn open(&mut self, _: &mut Client) -> Result<Option<Description>, LinkError> {
        let spans: Vec<_> = self.points.iter().map(|(point, _)| point.span()).collect();
        self.reads = plan(&spans, self.max_gap);
        Ok(None)
    }

    async fn poll(&mut self, client: &mut Client) -> Result<Vec<Update>, LinkError> {
        let mut updates = Vec::with_capacity(self.points.len());
        let mut to_split = Vec::new();
        for (index, read) in self.reads.iter().enumerate() {
            match client.read(read.span).await? {
                Ok(registers) => self.updates(read, &registers, &mut updates),
                Err(exception) => {
                    tracing::debug!(span = ?read.span, %exception, "read refused");
                    self.refused(read, &mut updates);
                    if exception == ExceptionCode::IllegalDataAddress && read.wanted.len() > 1 {
                        to_split.push(index);
                    }
                }
            }
        }
        // From the back, so that `swap_remove` disturbs no index still to come.
        for index in to_split.into_iter().rev() {
            self.split(index);
        }
        Ok(updates)
    }

    async fn command(
        &mut self,
        client: &mut Client,
        command: &Command,
    ) -> Result<CommandStatus, LinkError> {
        let rejected = |why: String| Ok(CommandStatus::Rejected(why.into()));
        let (value, writes) = match command.action {
            Action::Write(value) | Action::Operate(value) => (value, true),
            // The protocol has no selection: whoever asks keeps it.
            Action::Select(value) | Action::Cancel(value) => (value, false),
            Action::Der(_) => {
                let why = "a register device takes single values, no setpoint of a DER";
                return rejected(why.into());
            }
        };
        let named = |(_, id): &&(PointSpec, PointId)| *id == command.point;
        let Some((point, _)) = self.points.iter().find(named) else {
            return rejected(format!("no point {}", command.point));
        };
        if !point.writable {
            return rejected(format!("{} is not writable", command.point));
        }
        let words = match point.encode(value) {
            Ok(words) => words,
            Err(why) => return rejected(why),
        };
        if !writes {
            return Ok(CommandStatus::Done);
        }
        let answer = match (point.table, &*words) {
            (Table::Coil, &[bit]) => client.write_coil(point.address, bit != 0).await?,
            (_, &[word]) => client.write_register(point.address, word).await?,
            (_, words) => client.write_registers(point.address, words).await?,
        };
        Ok(match answer {
            Ok(()) => CommandStatus::Done,
            Err(exception) => CommandStatus::Rejected(exception.to_string().into()),
        })
    }
}
