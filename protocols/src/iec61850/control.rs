//! Commands (IEC 61850-7-2, 20): controllable objects by the model that the IED says they have, direct or after a
//! selection, with normal or enhanced security; and attributes that are set.

use std::{collections::HashMap, sync::Arc};

use iec61850_client::{
    ClientError, ControlAddCause, ControlModel, ControlObjectClient, ControlOutcome, OriginValue,
    TypeSpecification,
};
use iec61850_hal::time::TokioTimer;
use iec61850_model::{FC, MmsValue};

use super::{
    association::{Association, Failure, Lost, Place, failure},
    directory::component,
    map::CommandSpec,
};
use crate::{
    point::{CommandStatus, DoublePoint, Origin, Value},
    tls::Octets,
};

type Object = ControlObjectClient<Box<dyn Octets>, TokioTimer>;

/// Who we are, in a command's origin.
const IDENTITY: &[u8] = b"busbar";

/// The commands of one association.
pub(super) struct Controls<'c> {
    place: &'c Place,
    ied: &'c str,
    association: Arc<Association>,
    /// Objects that were operated, with their values' type.
    known: HashMap<String, (Object, TypeSpecification)>,
}

impl<'c> Controls<'c> {
    pub(super) fn new(place: &'c Place, ied: &'c str, association: Arc<Association>) -> Self {
        Self {
            place,
            ied,
            association,
            known: HashMap::new(),
        }
    }

    /// Carries a command out: how it ended, and whether the association is over.
    pub(super) async fn command(
        &mut self,
        spec: &CommandSpec,
        value: Value,
        origin: Origin,
    ) -> (CommandStatus, Result<(), Lost>) {
        let done = match spec.reference.fc() {
            Some(fc) => self.set(spec, value, fc).await,
            None => self.operate(spec, value, origin).await,
        };
        match done {
            Ok(()) => (CommandStatus::Done, Ok(())),
            Err(Stop::Before(Failure::Refused(why)) | Stop::Refused(why)) => {
                (CommandStatus::Rejected(why), Ok(()))
            }
            Err(Stop::Before(Failure::Lost(lost))) => {
                (CommandStatus::NotSent(lost.0.clone()), Err(lost))
            }
            Err(Stop::Sent(Failure::Refused(why))) => (CommandStatus::Unknown(why), Ok(())),
            Err(Stop::Sent(Failure::Lost(lost))) => {
                (CommandStatus::Unknown(lost.0.clone()), Err(lost))
            }
        }
    }

    async fn set(&self, spec: &CommandSpec, value: Value, fc: FC) -> Result<(), Stop> {
        let name = format!("{}{}", self.ied, plain(spec));
        let asked = self.association.get_variable_specification(&name, fc);
        let of = self.place.ask(asked).await.map_err(Stop::Before)?;
        let raw = raw(spec, value, &of).map_err(Stop::Refused)?;
        let written = self.association.write_object(&name, fc, raw);
        match self.place.ask(written).await {
            Ok(()) => Ok(()),
            Err(Failure::Refused(why)) => Err(Stop::Refused(why)),
            Err(lost) => Err(Stop::Sent(lost)),
        }
    }

    async fn operate(
        &mut self,
        spec: &CommandSpec,
        value: Value,
        origin: Origin,
    ) -> Result<(), Stop> {
        self.know(spec).await.map_err(Stop::Before)?;
        let Some((object, of)) = self.known.get_mut(&spec.name) else {
            return Err(Stop::Refused("no such object".into()));
        };
        let raw = raw(spec, value, of).map_err(Stop::Refused)?;
        object.set_origin(OriginValue {
            or_cat: category(origin),
            or_ident: IDENTITY.to_vec(),
        });
        object.set_interlock_check(spec.interlock_check);
        object.set_synchro_check(spec.synchro_check);
        // The crate bounds these by itself, the wait for a termination included.
        let selected = match object.ctl_model() {
            ControlModel::SboNormal => Some(object.select().await),
            ControlModel::SboEnhanced => Some(object.select_with_value(raw.clone()).await),
            _ => None,
        };
        match selected {
            None | Some(Ok(ControlOutcome::Success)) => {}
            Some(Ok(refused)) => {
                return Err(Stop::Refused(format!("not selected: {}", cause(&refused))));
            }
            Some(Err(error)) => return Err(Stop::Before(failure(&error))),
        }
        match object.operate(raw).await {
            Ok(ControlOutcome::Success) => Ok(()),
            Ok(refused) => Err(Stop::Refused(cause(&refused))),
            Err(ClientError::CommandTerminationTimeout { .. }) => Err(Stop::Sent(
                Failure::Refused("accepted, but the IED did not say in time how it ended".into()),
            )),
            Err(ClientError::NotConnected) => Err(Stop::Before(Failure::Lost(Lost(
                "the connection went".into(),
            )))),
            Err(error) => Err(Stop::Sent(failure(&error))),
        }
    }

    /// Asks, once, how the object is operated.
    async fn know(&mut self, spec: &CommandSpec) -> Result<(), Failure> {
        if self.known.contains_key(&spec.name) {
            return Ok(());
        }
        let name = format!("{}{}", self.ied, plain(spec));
        let model = format!("{name}.ctlModel");
        let model = self
            .place
            .ask(self.association.read_object(&model, FC::Cf))
            .await?;
        let model = match model {
            MmsValue::Integer(model) => model,
            MmsValue::Unsigned(model) => i64::try_from(model).unwrap_or(-1),
            _ => -1,
        };
        let model = match model {
            1 => ControlModel::DirectNormal,
            2 => ControlModel::SboNormal,
            3 => ControlModel::DirectEnhanced,
            4 => ControlModel::SboEnhanced,
            0 => {
                return Err(Failure::Refused(
                    "the IED shows it, but lets nobody control it".into(),
                ));
            }
            _ => return Err(Failure::Refused("of an unknown control model".into())),
        };
        let oper = format!("{name}.Oper");
        let oper = self.association.get_variable_specification(&oper, FC::Co);
        let oper = self.place.ask(oper).await?;
        let of = component(&oper, "ctlVal").cloned();
        let of = of.ok_or_else(|| Failure::Refused("its command has no value".into()))?;
        let object = self.association.create_control_object(&name, model);
        let object = object.map_err(|error| failure(&error))?;
        self.known.insert(spec.name.clone(), (object, of));
        Ok(())
    }
}

/// Why a command was not carried out.
enum Stop {
    /// Before it was sent.
    Before(Failure),
    /// The IED, or we, said no.
    Refused(String),
    /// It was sent, and nobody knows.
    Sent(Failure),
}

/// A command's reference without its functional constraint.
fn plain(spec: &CommandSpec) -> String {
    let text = spec.reference.to_string();
    let end = text.find('[').unwrap_or(text.len());
    text[..end].to_owned()
}

/// Category of the origin (7-3, Table 8).
fn category(origin: Origin) -> i32 {
    match origin {
        Origin::Operator => 2,
        Origin::Scada => 3,
        Origin::Safety | Origin::Market => 5,
    }
}

/// A value as the IED takes it.
fn raw(spec: &CommandSpec, value: Value, of: &TypeSpecification) -> Result<MmsValue, String> {
    let unfit = || format!("{value:?} is nothing that {} takes", spec.reference);
    let on = match value {
        Value::Binary(on) => Some(on),
        Value::DoublePoint(DoublePoint::On) => Some(true),
        Value::DoublePoint(DoublePoint::Off) => Some(false),
        _ => None,
    };
    let number = match value {
        Value::Analog(number) => Some((number - spec.offset) / spec.scale),
        _ => None,
    };
    match of {
        TypeSpecification::Boolean => on.map(MmsValue::Boolean).ok_or_else(unfit),
        TypeSpecification::FloatingPoint { format_width, .. } => {
            let number = number.filter(|n| n.is_finite()).ok_or_else(unfit)?;
            Ok(match format_width {
                64 => MmsValue::Float64(number),
                _ => MmsValue::Float32(number as f32),
            })
        }
        TypeSpecification::Integer { width_bits } => {
            let whole = whole(number, -signed(*width_bits) - 1.0, signed(*width_bits));
            whole.map(MmsValue::Integer).ok_or_else(unfit)
        }
        TypeSpecification::Unsigned { width_bits } => {
            let whole = whole(number, 0.0, 2.0 * signed(*width_bits) + 1.0);
            whole
                .map(|w| MmsValue::Unsigned(w.unsigned_abs()))
                .ok_or_else(unfit)
        }
        // A step: -1 lowers, 1 raises, 0 stops (7-3, TcmdKind).
        TypeSpecification::BitString { bits: 2 } => {
            let step = match whole(number, -1.0, 1.0).ok_or_else(unfit)? {
                -1 => 1,
                1 => 2,
                _ => 0,
            };
            Ok(MmsValue::BitString {
                padding: 6,
                data: vec![step << 6],
            })
        }
        // An AnalogueValue: the first of its components.
        TypeSpecification::Structure { components } => match components.as_slice() {
            [one] => Ok(MmsValue::Structure(vec![raw(spec, value, &one.type_spec)?])),
            _ => Err(unfit()),
        },
        _ => Err(unfit()),
    }
}

/// Greatest number of so many bits, with a sign.
fn signed(width_bits: u8) -> f64 {
    2f64.powi(i32::from(width_bits.clamp(8, 32)) - 1) - 1.0
}

fn whole(number: Option<f64>, low: f64, high: f64) -> Option<i64> {
    let rounded = number?.round();
    (low..=high).contains(&rounded).then_some(rounded as i64)
}

/// Why the IED refused, in words.
fn cause(outcome: &ControlOutcome) -> String {
    let Some(cause) = outcome.add_cause() else {
        return "the IED refused it".into();
    };
    let words = match cause {
        ControlAddCause::Unknown | ControlAddCause::None => "and does not say why",
        ControlAddCause::NotSupported => "not supported",
        ControlAddCause::BlockedBySwitchingHierarchy => "blocked by switching hierarchy",
        ControlAddCause::SelectFailed => "select failed",
        ControlAddCause::InvalidPosition => "invalid position",
        ControlAddCause::PositionReached => "position reached",
        ControlAddCause::ParameterChangeInExecution => "parameter change in execution",
        ControlAddCause::StepLimit => "step limit",
        ControlAddCause::BlockedByMode => "blocked by mode",
        ControlAddCause::BlockedByProcess => "blocked by process",
        ControlAddCause::BlockedByInterlocking => "blocked by interlocking",
        ControlAddCause::BlockedBySynchrocheck => "blocked by synchrocheck",
        ControlAddCause::CommandAlreadyInExecution => "command already in execution",
        ControlAddCause::BlockedByHealth => "blocked by health",
        ControlAddCause::OneOfNControl => "one of n control",
        ControlAddCause::AbortionByCancel => "abortion by cancel",
        ControlAddCause::TimeLimitOver => "time limit over",
        ControlAddCause::AbortionByTrip => "abortion by trip",
        ControlAddCause::ObjectNotSelected => "object not selected",
        ControlAddCause::ObjectAlreadySelected => "object already selected",
        ControlAddCause::NoAccessAuthority => "no access authority",
        ControlAddCause::EndedWithOvershoot => "ended with overshoot",
        ControlAddCause::AbortionDueToDeviation => "abortion due to deviation",
        ControlAddCause::AbortionByCommunicationLoss => "abortion by communication loss",
        ControlAddCause::BlockedByCommand => "blocked by command",
        ControlAddCause::InconsistentParameters => "inconsistent parameters",
        ControlAddCause::LockedByOtherClient => "locked by another client",
        other => return format!("the IED refused it: {other:?}"),
    };
    format!("the IED refused it: {words}")
}
