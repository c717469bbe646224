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
    point::{Action, Cause, CommandStatus, DoublePoint, Origin, Rejection, Value},
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
        action: Action,
        origin: Origin,
    ) -> (CommandStatus, Result<(), Lost>) {
        let done = match (spec.reference.fc(), step(action)) {
            (_, None) => Err(Stop::Refused(
                "an IED takes single values, no setpoint of a DER".into(),
            )),
            (Some(fc), Some((step, value))) => self.set(spec, step, value, fc).await,
            (None, Some((step, value))) => self.control(spec, step, value, origin).await,
        };
        match done {
            Ok(()) => (CommandStatus::Done, Ok(())),
            Err(Stop::Before(Failure::Refused(why))) => {
                (CommandStatus::Rejected(why.into()), Ok(()))
            }
            Err(Stop::Refused(why)) => (CommandStatus::Rejected(why), Ok(())),
            Err(Stop::Before(Failure::Lost(lost))) => {
                (CommandStatus::NotSent(lost.0.clone()), Err(lost))
            }
            Err(Stop::Sent(Failure::Refused(why))) => (CommandStatus::Unknown(why), Ok(())),
            Err(Stop::Sent(Failure::Lost(lost))) => {
                (CommandStatus::Unknown(lost.0.clone()), Err(lost))
            }
        }
    }

    /// An attribute knows no selection.
    async fn set(&self, spec: &CommandSpec, step: Step, value: Value, fc: FC) -> Result<(), Stop> {
        let name = format!("{}{}", self.ied, plain(spec));
        let asked = self.association.get_variable_specification(&name, fc);
        let of = self.place.ask(asked).await.map_err(Stop::Before)?;
        let raw = raw(spec, value, &of).map_err(|why| Stop::Refused(why.into()))?;
        if matches!(step, Step::Select | Step::Cancel) {
            return Ok(());
        }
        let written = self.association.write_object(&name, fc, raw);
        match self.place.ask(written).await {
            Ok(()) => Ok(()),
            Err(Failure::Refused(why)) => Err(Stop::Refused(why.into())),
            Err(lost) => Err(Stop::Sent(lost)),
        }
    }

    async fn control(
        &mut self,
        spec: &CommandSpec,
        step: Step,
        value: Value,
        origin: Origin,
    ) -> Result<(), Stop> {
        self.know(spec).await.map_err(Stop::Before)?;
        let Some((object, of)) = self.known.get_mut(&spec.name) else {
            return Err(Stop::Refused("no such object".into()));
        };
        let raw = raw(spec, value, of).map_err(|why| Stop::Refused(why.into()))?;
        object.set_origin(OriginValue {
            or_cat: category(origin),
            or_ident: IDENTITY.to_vec(),
        });
        object.set_interlock_check(spec.interlock_check);
        object.set_synchro_check(spec.synchro_check);
        match step {
            Step::Select => select(object, &raw).await,
            Step::Write => {
                select(object, &raw).await?;
                operate(object, raw).await
            }
            Step::Operate => operate(object, raw).await,
            Step::Cancel => cancel(object, raw).await,
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

/// What of a command is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// All of it.
    Write,
    Select,
    /// It was selected before; if not, the IED says so.
    Operate,
    Cancel,
}

fn step(action: Action) -> Option<(Step, Value)> {
    match action {
        Action::Write(value) => Some((Step::Write, value)),
        Action::Select(value) => Some((Step::Select, value)),
        Action::Operate(value) => Some((Step::Operate, value)),
        Action::Cancel(value) => Some((Step::Cancel, value)),
        Action::Der(_) => None,
    }
}

// The crate bounds these by itself, the wait for a termination included.

/// Selects, where the object's control model has that.
async fn select(object: &Object, raw: &MmsValue) -> Result<(), Stop> {
    let selected = match object.ctl_model() {
        ControlModel::SboNormal => object.select().await,
        ControlModel::SboEnhanced => object.select_with_value(raw.clone()).await,
        _ => return Ok(()),
    };
    match selected {
        Ok(ControlOutcome::Success) => Ok(()),
        Ok(refused) => {
            let why = rejection(&refused);
            let text = format!("not selected: {why}");
            Err(Stop::Refused(why.cause.because(text)))
        }
        Err(error) => Err(Stop::Before(failure(&error))),
    }
}

async fn operate(object: &Object, raw: MmsValue) -> Result<(), Stop> {
    match object.operate(raw).await {
        Ok(ControlOutcome::Success) => Ok(()),
        Ok(refused) => Err(Stop::Refused(rejection(&refused))),
        Err(ClientError::CommandTerminationTimeout { .. }) => Err(Stop::Sent(Failure::Refused(
            "accepted, but the IED did not say in time how it ended".into(),
        ))),
        Err(ClientError::NotConnected) => Err(Stop::Before(Failure::Lost(Lost(
            "the connection went".into(),
        )))),
        Err(error) => Err(Stop::Sent(failure(&error))),
    }
}

/// Ends a selection, where the object's control model has that.
async fn cancel(object: &Object, raw: MmsValue) -> Result<(), Stop> {
    let model = object.ctl_model();
    if !matches!(model, ControlModel::SboNormal | ControlModel::SboEnhanced) {
        return Ok(());
    }
    match object.cancel(raw).await {
        Ok(ControlOutcome::Success) => Ok(()),
        Ok(refused) => Err(Stop::Refused(rejection(&refused))),
        Err(error) => Err(Stop::Before(failure(&error))),
    }
}

/// Why a command was not carried out.
enum Stop {
    /// Before it was sent.
    Before(Failure),
    /// The IED, or we, said no.
    Refused(Rejection),
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

/// Why the IED refused.
fn rejection(outcome: &ControlOutcome) -> Rejection {
    use ControlAddCause as A;
    let Some(add_cause) = outcome.add_cause() else {
        return "the IED refused it".into();
    };
    let (cause, words) = match add_cause {
        A::Unknown | A::None => (Cause::Other, "and does not say why"),
        A::NotSupported => (Cause::NotSupported, "not supported"),
        A::BlockedBySwitchingHierarchy => (Cause::Local, "blocked by switching hierarchy"),
        A::SelectFailed => (Cause::NotSelected, "select failed"),
        A::InvalidPosition => (Cause::Other, "invalid position"),
        A::PositionReached => (Cause::AlreadyThere, "position reached"),
        A::ParameterChangeInExecution => (Cause::Other, "parameter change in execution"),
        A::StepLimit => (Cause::OutOfRange, "step limit"),
        A::BlockedByMode => (Cause::Blocked, "blocked by mode"),
        A::BlockedByProcess => (Cause::Blocked, "blocked by process"),
        A::BlockedByInterlocking => (Cause::Blocked, "blocked by interlocking"),
        A::BlockedBySynchrocheck => (Cause::Blocked, "blocked by synchrocheck"),
        A::CommandAlreadyInExecution => (Cause::Busy, "command already in execution"),
        A::BlockedByHealth => (Cause::Blocked, "blocked by health"),
        A::OneOfNControl => (Cause::Busy, "one of n control"),
        A::AbortionByCancel => (Cause::Other, "abortion by cancel"),
        A::TimeLimitOver => (Cause::Other, "time limit over"),
        A::AbortionByTrip => (Cause::Other, "abortion by trip"),
        A::ObjectNotSelected => (Cause::NotSelected, "object not selected"),
        A::ObjectAlreadySelected => (Cause::Taken, "object already selected"),
        A::NoAccessAuthority => (Cause::NotAllowed, "no access authority"),
        A::EndedWithOvershoot => (Cause::Other, "ended with overshoot"),
        A::AbortionDueToDeviation => (Cause::Other, "abortion due to deviation"),
        A::AbortionByCommunicationLoss => (Cause::Other, "abortion by communication loss"),
        A::BlockedByCommand => (Cause::Blocked, "blocked by command"),
        A::InconsistentParameters => (Cause::NotSelected, "inconsistent parameters"),
        A::LockedByOtherClient => (Cause::Taken, "locked by another client"),
        other => return format!("the IED refused it: {other:?}").into(),
    };
    cause.because(format!("the IED refused it: {words}"))
}
