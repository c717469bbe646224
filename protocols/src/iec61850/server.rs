//! An IED's server, for simulators: its model is an SCL file, what it shows is set by reference, what clients
//! order goes to whoever owns it.

use std::{io, net::SocketAddr, pin::Pin, sync::Arc};

use iec61850_model::{
    DataAttribute, DoChild, IedModel, MmsValue,
    tree::{DataObject, LogicalNode},
};
use iec61850_server::{
    IedServer, IedServerConfig, ServerHandle,
    control::{
        CheckHandler, ControlAction, ControlAddCause, ControlHandler, ControlObject,
        ControlObjectEntry,
    },
};
use tokio::runtime::Handle;

use super::{Reference, value};
use crate::point::{DoublePoint, Quality, Timestamp, Value};

/// Connections at a time; more are closed at once.
const MAX_CONNECTIONS: usize = 16;

/// Why an order is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is nothing that could do it.
    NotSupported,
    /// It is there already.
    PositionReached,
    /// It has no such position.
    StepLimit,
    /// Something stands against it.
    BlockedByProcess,
}

impl Refusal {
    fn cause(self) -> ControlAddCause {
        match self {
            Self::NotSupported => ControlAddCause::NotSupported,
            Self::PositionReached => ControlAddCause::PositionReached,
            Self::StepLimit => ControlAddCause::StepLimit,
            Self::BlockedByProcess => ControlAddCause::BlockedByProcess,
        }
    }
}

/// What a client orders: the object, such as `LD0/CSWI1.Pos`, its new value, and whether only to say if it would
/// be done.
pub type Order<'a> = (&'a str, Value, bool);

/// Who carries orders out. Called from any thread, and may block.
pub type Obey = Arc<dyn Fn(Order<'_>) -> Result<(), Refusal> + Send + Sync>;

/// A value to show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    /// The value.
    pub value: Value,
    /// What speaks against it.
    pub quality: Quality,
    /// When it was measured.
    pub time: Timestamp,
}

/// A running server; dropping it closes the port and every connection.
#[derive(Debug)]
pub struct MmsServer {
    ied: String,
    server: IedServer,
    address: SocketAddr,
    runtime: Handle,
    handle: Option<ServerHandle>,
}

impl Drop for MmsServer {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.runtime.spawn(handle.stop());
        }
    }
}

impl MmsServer {
    /// Listens on `address` as the IED `name`, which is what the one IED of the SCL file `scl` is like.
    ///
    /// # Errors
    /// The address cannot be bound, or the file is not what it should be.
    pub async fn bind(address: SocketAddr, scl: &str, name: &str, obey: Obey) -> io::Result<Self> {
        let model = Arc::new(model(scl, name)?);
        let mut config = IedServerConfig::default();
        config.max_mms_connections = MAX_CONNECTIONS;
        let builder = IedServer::builder().model(Arc::clone(&model)).bind(address);
        let server = builder.config(config).build().map_err(io::Error::other)?;
        for device in &model.lds {
            for node in &device.lns {
                let domain = device.domain_name(name);
                let inst = &device.inst;
                for object in &node.dos {
                    control(&server, &model, (&domain, inst), node, object, &obey);
                }
            }
        }
        server.register_from_model().map_err(io::Error::other)?;
        let handle = server.start().await.map_err(io::Error::other)?;
        Ok(Self {
            ied: name.to_owned(),
            server,
            address: handle.bound_addr,
            runtime: Handle::current(),
            handle: Some(handle),
        })
    }

    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows a value with the quality and time beside it or above; whether there is such an attribute. What is
    /// shown already stays as it is, its time too.
    pub fn show(&self, reference: &Reference, shown: Shown) -> bool {
        let model = self.server.model();
        let Some(found) = Found::of(&model, &self.ied, reference) else {
            return false;
        };
        let Some(raw) = attribute_value(shown.value, &found.value.snapshot()) else {
            return false;
        };
        let quality = value::quality_attribute(shown.quality);
        let same_quality = found.quality.is_none_or(|q| q.snapshot() == quality);
        let same_value = found.value.snapshot() == raw;
        if same_value && same_quality {
            return true;
        }
        // Time and quality first: a report takes all three as soon as the value changes.
        if let Some(time) = found.time {
            time.store(value::time_attribute(shown.time));
        }
        let updated = match (found.quality, same_value) {
            (Some(attribute), true) => update(&self.server, attribute, quality),
            (attribute, _) => {
                if let Some(attribute) = attribute {
                    attribute.store(quality);
                }
                update(&self.server, found.value, raw)
            }
        };
        updated.is_ok()
    }
}

/// The attributes of a value.
struct Found<'m> {
    value: &'m DataAttribute,
    quality: Option<&'m DataAttribute>,
    time: Option<&'m DataAttribute>,
}

impl<'m> Found<'m> {
    fn of(model: &'m IedModel, ied: &str, reference: &Reference) -> Option<Self> {
        let device = model.ld_by_domain(&reference.domain(ied))?;
        let (ln, _) = reference
            .object()
            .split_once('.')
            .map(|(ln, _)| (ln.to_owned(), ()))?;
        let (first, rest) = reference.path().split_first()?;
        let fc = reference.fc()?;
        let mut object = device.ln_by_name(&ln)?.do_by_name(first)?;
        let mut names = rest.iter();
        let attribute = loop {
            match object.child_by_name(names.next()?, Some(fc))? {
                DoChild::SubDo(below) => object = below,
                DoChild::Da(attribute) => break attribute,
            }
        };
        let value = names.try_fold(attribute, |attribute, name| attribute.child_by_name(name))?;
        let beside = |name: &str| match object.child_by_name(name, Some(fc))? {
            DoChild::Da(attribute) => Some(attribute),
            DoChild::SubDo(_) => None,
        };
        Some(Self {
            value,
            quality: beside("q"),
            time: beside("t"),
        })
    }
}

fn model(scl: &str, name: &str) -> io::Result<IedModel> {
    let mut raw = iec61850_scl::parse_scl(scl).map_err(io::Error::other)?;
    let [ied] = raw.ieds.as_mut_slice() else {
        return Err(io::Error::other("the SCL file has not just one IED"));
    };
    ied.name = name.to_owned();
    let resolved = raw.resolve().map_err(io::Error::other)?;
    resolved.build_model(name).map_err(io::Error::other)
}

/// A value as an attribute that is like `now` holds it.
fn attribute_value(value: Value, now: &MmsValue) -> Option<MmsValue> {
    Some(match (value, now) {
        (Value::Analog(number), MmsValue::Float32(_)) => MmsValue::Float32(number as f32),
        (Value::Analog(number), MmsValue::Integer(_)) => MmsValue::Integer(number.round() as i64),
        (Value::Counter(count), MmsValue::Integer(_)) => {
            MmsValue::Integer(i64::try_from(count).ok()?)
        }
        (Value::Binary(on), MmsValue::Boolean(_)) => MmsValue::Boolean(on),
        (Value::DoublePoint(position), MmsValue::BitString { padding: 6, .. }) => {
            let bits: u8 = match position {
                DoublePoint::Intermediate => 0b00,
                DoublePoint::Off => 0b01,
                DoublePoint::On => 0b10,
                DoublePoint::Bad => 0b11,
            };
            MmsValue::BitString {
                padding: 6,
                data: vec![bits << 6],
            }
        }
        _ => return None,
    })
}

/// Changes an attribute in such a way that reports notice.
fn update(
    server: &IedServer,
    attribute: &DataAttribute,
    value: MmsValue,
) -> Result<(), iec61850_server::ServerError> {
    match value {
        MmsValue::Float32(number) => server.update_float32(attribute, number),
        MmsValue::Integer(number) => server.update_int64(attribute, number),
        MmsValue::Boolean(on) => server.update_boolean(attribute, on),
        MmsValue::BitString { padding, data } => {
            server.update_bit_string(attribute, &data, padding)
        }
        // Nothing else is shown.
        _ => Ok(()),
    }
}

/// Makes a data object, if it can be controlled, obey.
fn control(
    server: &IedServer,
    model: &IedModel,
    (domain, inst): (&str, &str),
    node: &LogicalNode,
    object: &DataObject,
    obey: &Obey,
) {
    let ln = node.full_name();
    let Some(controlled) = ControlObject::from_model(model, domain, &ln, &object.name) else {
        return;
    };
    let owner = Arc::new(Owner {
        object: format!("{inst}/{ln}.{}", object.name),
        obey: Arc::clone(obey),
    });
    let entry = ControlObjectEntry::new(controlled);
    let entry = entry.with_check(Arc::clone(&owner) as Arc<dyn CheckHandler>);
    server.control_objects().register(entry.with_operate(owner));
}

/// Who decides about one object.
struct Owner {
    object: String,
    obey: Obey,
}

impl Owner {
    fn order(&self, raw: &MmsValue, check: bool) -> Result<(), ControlAddCause> {
        let value = match raw {
            MmsValue::Boolean(on) => Value::Binary(*on),
            MmsValue::Integer(number) => Value::Analog(*number as f64),
            MmsValue::Float32(number) => Value::Analog(f64::from(*number)),
            _ => return Err(ControlAddCause::NotSupported),
        };
        (self.obey)((&self.object, value, check)).map_err(Refusal::cause)
    }
}

impl CheckHandler for Owner {
    fn check(
        &self,
        _: &ControlAction,
        value: Option<&MmsValue>,
        _: bool,
        _: bool,
    ) -> Result<(), ControlAddCause> {
        value.map_or(Ok(()), |value| self.order(value, true))
    }
}

impl ControlHandler for Owner {
    fn operate<'a>(
        &'a self,
        _: &'a ControlAction,
        value: &'a MmsValue,
        test: bool,
    ) -> Pin<Box<dyn Future<Output = Result<(), ControlAddCause>> + Send + 'a>> {
        // A test goes through everything but the process.
        Box::pin(async move { self.order(value, test) })
    }
}
