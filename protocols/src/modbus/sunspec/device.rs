//! The task of a SunSpec device.

use super::{
    block::Block,
    blocks::{Blocks, Reading},
    control::{self, Write},
    discovery::{Found, discover},
    readback::readback,
    tables,
};
use crate::{
    device::{Clock, Description, Ports},
    modbus::{
        client::{Client, Link, LinkError},
        mbap::{MAX_READ_REGISTERS, Table},
        plan::{Read, Span, plan},
        supervise::{Session, supervise},
    },
    point::{Action, Command, CommandStatus, DeviceId, PointId, Quality, Timestamp, Update, Value},
};

/// A SunSpec device on a site.
#[derive(Clone, Debug)]
pub struct SunspecConfig {
    /// How to reach it.
    pub link: Link,
}

/// Who it is: read once after each connect.
const IDENTITY: [u16; 1] = [1];
/// What it is able to: read after each connect, and before each command, since percentages of a
/// setting that was changed meanwhile would be other powers.
const RATINGS: [u16; 3] = [120, 121, 702];
/// Models read in every poll.
const LIVE: [u16; 12] = [101, 102, 103, 111, 112, 113, 123, 124, 701, 704, 713, 802];
/// Unwanted registers worth reading to save a request.
const MAX_GAP: u16 = 16;

/// Discovers the device, polls it and carries out commands until `ports.stop` fires.
///
/// Points, all generation-positive: `p` W, `q` var, `u` V (mean phase-to-phase; of a single phase, what it
/// would be of three like it), `i` A (mean of the phases), `f` Hz, `energy` Wh delivered, `energy_absorbed` Wh taken (model 701 only; those of inverters cannot say),
/// `state`, `soc` 0 to 1, and as read back from the device `p_limit` W, `p_set` W, `q_set` var,
/// `lease_left` s and `controlled`. A point whose function the device lacks does not appear; one
/// without a number now is NaN and invalid.
///
/// Commands: [`Action::Der`] at `control`. When the device refuses one of the writes, those before it
/// stay in force, under their lease, and the command is rejected.
pub async fn run(config: SunspecConfig, ports: Ports) {
    let session = SunspecSession::new(ports.device.clone(), config.link.clock);
    supervise(config.link, session, ports).await;
}

/// What the device at the other end says of itself; `None`: it is no SunSpec device.
pub(in crate::modbus) async fn describe(
    client: &mut Client,
    link: &Link,
) -> Result<Option<Description>, LinkError> {
    let mut session = SunspecSession::new(DeviceId::new(""), link.clock);
    match session.open(client).await {
        Err(LinkError::NotSunspec(_)) => Ok(None),
        described => described,
    }
}

pub(in crate::modbus) struct SunspecSession {
    device: DeviceId,
    clock: Clock,
    blocks: Blocks,
    /// When the last setpoint written here ends, for devices that do not tell.
    lease_until: Option<i64>,
}

/// The part of a block that one request can read; behind it lie texts only (701's `MnAlrmInfo`).
fn span(block: &Block) -> Span {
    Span {
        table: Table::Holding,
        address: block.address,
        count: (block.registers().len() as u16).min(MAX_READ_REGISTERS),
    }
}

/// The blocks of the known among the `found` models, each once.
fn known(found: &[Found]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for &Found {
        id,
        address,
        length,
    } in found
    {
        let Some(model) = tables::find(id) else {
            continue;
        };
        if length < model.length {
            tracing::warn!(id, address, length, "SunSpec model too short, ignored");
        } else if blocks.iter().all(|block| block.model.id != id) {
            blocks.push(Block::new(model, address));
        }
    }
    blocks
}

impl SunspecSession {
    pub(in crate::modbus) fn new(device: DeviceId, clock: Clock) -> Self {
        Self {
            device,
            clock,
            blocks: Blocks::default(),
            lease_until: None,
        }
    }

    /// The reads that fetch `models`; `wanted` are indices into the blocks.
    fn plan(&self, models: &[u16]) -> Vec<Read> {
        let mut indices = Vec::new();
        let mut spans = Vec::new();
        for (index, block) in self.blocks.0.iter().enumerate() {
            if models.contains(&block.model.id) {
                indices.push(index);
                spans.push(span(block));
            }
        }
        let mut reads = plan(&spans, MAX_GAP);
        for wanted in reads.iter_mut().flat_map(|read| &mut read.wanted) {
            *wanted = indices[*wanted];
        }
        reads
    }

    /// Reads `models`; one that is refused is "not implemented" throughout.
    async fn fetch(&mut self, client: &mut Client, models: &[u16]) -> Result<(), LinkError> {
        let mut reads = self.plan(models);
        while let Some(read) = reads.pop() {
            match client.read(read.span).await? {
                Ok(registers) => self.load(&read, &registers)?,
                // Some devices answer for one model at a time only.
                Err(_) if read.wanted.len() > 1 => {
                    reads.extend(read.wanted.into_iter().map(|index| Read {
                        span: span(&self.blocks.0[index]),
                        wanted: vec![index],
                    }));
                }
                Err(exception) => {
                    tracing::debug!(span = ?read.span, %exception, "read refused");
                    for index in read.wanted {
                        let block = &mut self.blocks.0[index];
                        *block = Block::new(block.model, block.address);
                    }
                }
            }
        }
        Ok(())
    }

    fn load(&mut self, read: &Read, registers: &[u16]) -> Result<(), LinkError> {
        for &index in &read.wanted {
            let block = &mut self.blocks.0[index];
            let start = usize::from(block.address - read.span.address);
            // Behind a gateway a device can be exchanged without the connection noticing.
            if registers[start] != block.model.id {
                let (id, address) = (block.model.id, block.address);
                let text = format!("model {id} is no longer at register {address}");
                return Err(LinkError::NotSunspec(text));
            }
            // No longer than the block: `load` drops what lies beyond it.
            block.load(0, &registers[start..]);
        }
        Ok(())
    }

    fn updates(&self) -> Vec<Update> {
        let now = (self.clock)();
        let update = |name: &str, value: Value, quality: Quality| Update {
            point: PointId::new(&self.device, name),
            value,
            quality,
            time: Timestamp::received(now),
        };
        let mut updates = Vec::new();
        let mut analog = |name: &str, reading: Reading, quality: Quality| match reading {
            Reading::Missing => {}
            Reading::Is(value) => updates.push(update(name, Value::Analog(value), quality)),
            Reading::Unknown => {
                updates.push(update(name, Value::Analog(f64::NAN), Quality::INVALID));
            }
        };
        let blocks = &self.blocks;
        for (name, number) in [
            ("p", blocks.p()),
            ("q", blocks.q()),
            ("u", blocks.u()),
            ("i", blocks.i()),
            ("f", blocks.f()),
            ("state", blocks.state()),
        ] {
            analog(name, number.into(), Quality::GOOD);
        }
        analog("soc", blocks.soc(), Quality::GOOD);
        let readback = readback(blocks);
        if let Some(back) = &readback {
            analog("p_limit", back.p_limit, Quality::GOOD);
            analog("p_set", back.p_set, Quality::GOOD);
            analog("q_set", back.q_set, Quality::GOOD);
            match (back.lease_left, self.lease_until) {
                // The device does not tell: our own count stands in, and says so.
                (Reading::Unknown, Some(until)) if back.controlled => {
                    let left = Reading::Is((until - now).max(0) as f64 / 1e6);
                    analog("lease_left", left, Quality::SUBSTITUTED);
                }
                (left, _) => analog("lease_left", left, Quality::GOOD),
            }
        }
        let mut counter = |name: &str, reading: Reading| match reading {
            Reading::Missing => {}
            Reading::Is(wh) => {
                let value = Value::Counter(wh.max(0.0) as u64);
                updates.push(update(name, value, Quality::GOOD));
            }
            Reading::Unknown => updates.push(update(name, Value::Counter(0), Quality::INVALID)),
        };
        counter("energy", blocks.energy().into());
        counter("energy_absorbed", blocks.energy_absorbed());
        if let Some(back) = readback {
            let controlled = Value::Binary(back.controlled);
            updates.push(update("controlled", controlled, Quality::GOOD));
        }
        updates
    }

    /// Keeps the copy of the controls as written until the next poll reads them back.
    fn note(&mut self, write: &Write) {
        let block = self.blocks.0.iter_mut();
        if let Some(block) = block.into_iter().find(|b| b.model.id == write.model) {
            block.load(write.offset, &write.words);
        }
    }
}

impl Session for SunspecSession {
    async fn open(&mut self, client: &mut Client) -> Result<Option<Description>, LinkError> {
        let found = discover(client).await?;
        self.blocks = Blocks(known(&found));
        self.fetch(client, &IDENTITY).await?;
        self.fetch(client, &RATINGS).await?;
        // Once before the first command: what is written depends on what the device has.
        self.fetch(client, &LIVE).await?;
        let models = found.iter().map(|model| model.id).collect();
        Ok(Some(self.blocks.describe(models)))
    }

    async fn poll(&mut self, client: &mut Client) -> Result<Vec<Update>, LinkError> {
        self.fetch(client, &LIVE).await?;
        Ok(self.updates())
    }

    async fn command(
        &mut self,
        client: &mut Client,
        command: &Command,
    ) -> Result<CommandStatus, LinkError> {
        let rejected = |why: String| Ok(CommandStatus::Rejected(why.into()));
        let Action::Der(setpoint) = &command.action else {
            return rejected("a SunSpec device takes setpoints of a DER, no single values".into());
        };
        if command.point.name() != "control" {
            return rejected(format!("{} is not a control", command.point));
        }
        self.fetch(client, &RATINGS).await?;
        let writes = match control::writes(&self.blocks, setpoint) {
            Ok(writes) => writes,
            Err(why) => return rejected(why),
        };
        for write in &writes {
            let answer = client.write_registers(write.address, &write.words);
            if let Err(exception) = answer.await? {
                let Write { model, point, .. } = write;
                return rejected(format!("{exception}, at {point} of model {model}"));
            }
            self.note(write);
        }
        self.lease_until = Some((self.clock)() + setpoint.lease.as_micros() as i64);
        Ok(CommandStatus::Done)
    }
}
