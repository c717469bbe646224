//! What control centres command, whatever the protocol: a unit is taken over at a power, and given back.

use std::{collections::BTreeMap, time::Duration};

use solver::network::Id;
use tokio::sync::oneshot;

use crate::{
    cycle::{Refusal, ScadaCommand},
    published::{Handle, Request},
};

/// A command, understood.
pub(super) struct Asked {
    /// Which control centre.
    pub(super) by: String,
    pub(super) unit: Id,
    pub(super) change: Change,
}

pub(super) enum Change {
    /// Take over, or give back.
    Held(bool),
    /// Active (0) or reactive (1) power to hold it at.
    Preset(usize, f64),
}

/// Why a command is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Loop(Refusal),
    /// To be taken over, and nobody has said at what.
    #[error("no power to hold it at has been set")]
    NothingPreset,
    #[error("the appliance is stopping")]
    Stopping,
}

/// Brings commands to the loop.
#[derive(Debug)]
pub(super) struct Commander {
    /// How long a command lasts unless renewed.
    lasts: Duration,
    /// What each unit is to be held at once it is taken over: active and reactive power.
    preset: BTreeMap<Id, [Option<f64>; 2]>,
}

impl Commander {
    pub(super) fn new(lasts: Duration) -> Self {
        Self {
            lasts,
            preset: BTreeMap::new(),
        }
    }

    /// Does it, or with `check` only says whether it would be done.
    pub(super) async fn carry_out(
        &mut self,
        asked: Asked,
        check: bool,
        handle: &Handle,
    ) -> Result<(), Refused> {
        let held = handle.published.borrow().holds.get(&asked.unit).cloned();
        let preset = self.preset.get(&asked.unit).copied().unwrap_or_default();
        // What is held and not preset since is renewed as it is.
        let or = |part: Option<f64>, held: Option<f64>| part.or(held);
        let mut power = [
            or(preset[0], held.as_ref().map(|hold| hold.p_w)),
            or(preset[1], held.as_ref().map(|hold| hold.q_var)),
        ];
        let hold = match asked.change {
            Change::Held(false) => None,
            Change::Held(true) => match power[0] {
                Some(p_w) => Some((p_w, power[1].unwrap_or(0.0))),
                None => return Err(Refused::NothingPreset),
            },
            Change::Preset(part, value) => {
                power[part] = Some(value);
                Some((power[0].unwrap_or(0.0), power[1].unwrap_or(0.0)))
            }
        };
        // A preset of a unit that is not held is kept here until it is.
        let only_check = check || (held.is_none() && matches!(asked.change, Change::Preset(..)));
        let command = ScadaCommand {
            by: asked.by,
            unit: asked.unit,
            hold,
            lasts: self.lasts,
        };
        let (answer, answered) = oneshot::channel();
        let request = Request::Command {
            command,
            check: only_check,
            answer,
        };
        let sent = handle.requests.send(request).await;
        sent.map_err(|_| Refused::Stopping)?;
        let decided = answered.await.map_err(|_| Refused::Stopping)?;
        decided.map_err(Refused::Loop)?;
        if let Change::Preset(part, value) = asked.change
            && !check
        {
            self.preset.entry(asked.unit).or_default()[part] = Some(value);
        }
        Ok(())
    }
}
