//! Requests other than reads and commands (clause 4.4): confirmations, writes, freezes, classes,
//! unsolicited responses, time and restarts.

use super::{Class, Outstation, OutstationEvent, RestartPolicy, read::class_of, support::check};
use crate::dnp3::{
    Kind, Now,
    app::{
        FunctionCode, Header, Headers, Iin, Item, Layout, Number, ObjectHeader, ParseError, Range,
        time_of,
    },
    link,
};

/// How a wrong header is indicated.
pub(super) fn indication(error: ParseError) -> Iin {
    match error {
        ParseError::UnknownObject { .. } => Iin::OBJECT_UNKNOWN,
        ParseError::Truncated | ParseError::Qualifier(_) | ParseError::Range => {
            Iin::PARAMETER_ERROR
        }
    }
}

impl Outstation {
    /// Takes in a fragment that is for this station alone.
    pub(super) fn handle_fragment(&mut self, fragment: Vec<u8>, now: Now) {
        let Some((header, objects)) = Header::split(&fragment) else {
            return;
        };
        let control = header.control;
        if header.function() == Some(FunctionCode::Confirm) {
            if control.unsolicited {
                self.unsolicited_confirmed(control.sequence);
            } else {
                self.solicited_confirmed(control.sequence, now);
            }
            return;
        }
        // A request is one fragment, and only an outstation is unsolicited.
        if !control.first || !control.last || control.unsolicited || header.iin.is_some() {
            return;
        }
        let read = header.function() == Some(FunctionCode::Read);
        if read && self.unsolicited.deadline().is_some() {
            self.deferred = Some(fragment);
            return;
        }
        self.deferred = None;
        if self.is_repetition(&fragment, now) {
            return;
        }
        self.cancel();
        if header.function() != Some(FunctionCode::Operate) {
            // It would have to be the request that follows its select.
            self.deselect();
        }
        if read {
            self.last = None;
            self.read(control.sequence, objects, now);
            return;
        }
        self.last = Some((fragment.clone(), None));
        self.handle_request(header, &fragment[2..], now);
    }

    /// Takes in a fragment that is for everyone: carried out, not answered.
    pub(super) fn handle_broadcast(&mut self, destination: u16, fragment: &[u8], now: Now) {
        let Some((header, objects)) = Header::split(fragment) else {
            return;
        };
        let control = header.control;
        if !control.first || !control.last || control.unsolicited || header.iin.is_some() {
            return;
        }
        self.broadcast = Some(destination == link::BROADCAST_CONFIRM);
        match header.function() {
            Some(FunctionCode::DirectOperateNoResponse) => self.operate_unanswered(objects),
            Some(
                function @ (FunctionCode::Write
                | FunctionCode::ImmediateFreezeNoResponse
                | FunctionCode::FreezeClearNoResponse
                | FunctionCode::EnableUnsolicited
                | FunctionCode::DisableUnsolicited
                | FunctionCode::RecordCurrentTime),
            ) => {
                self.simple(function, objects, now);
            }
            _ => {}
        }
    }

    /// A request that came again because the answer did not arrive is answered again and not
    /// carried out again.
    fn is_repetition(&mut self, fragment: &[u8], now: Now) -> bool {
        let Some((last, response)) = &self.last else {
            return false;
        };
        if last != fragment {
            return false;
        }
        if let Some(response) = response.clone() {
            self.transmit(&response, now);
        }
        true
    }

    fn handle_request(&mut self, header: Header, objects: &[u8], now: Now) {
        use FunctionCode as F;
        let sequence = header.control.sequence;
        let Some(function) = header.function() else {
            return self.respond(sequence, &[], Iin::NO_FUNC_CODE_SUPPORT, now);
        };
        match function {
            F::Select | F::Operate | F::DirectOperate => {
                self.command(function, sequence, objects, now);
            }
            F::DirectOperateNoResponse => self.operate_unanswered(objects),
            F::ColdRestart | F::WarmRestart => self.restart(function, sequence, now),
            F::DelayMeasure => {
                // We answer at once: no delay to be taken off.
                self.respond(sequence, &[52, 2, 0x07, 1, 0, 0], Iin::empty(), now);
            }
            _ => {
                let errors = self.simple(function, objects, now);
                if function.is_answered() {
                    self.respond(sequence, &[], errors, now);
                }
            }
        }
    }

    /// Requests that are answered with indications only.
    fn simple(&mut self, function: FunctionCode, objects: &[u8], now: Now) -> Iin {
        use FunctionCode as F;
        match function {
            F::Write => self.each(function, objects, |this, header| this.write(header, now)),
            F::ImmediateFreeze | F::ImmediateFreezeNoResponse => {
                self.each(function, objects, |this, header| {
                    this.freeze(header, false, now)
                })
            }
            F::FreezeClear | F::FreezeClearNoResponse => {
                self.each(function, objects, |this, header| {
                    this.freeze(header, true, now)
                })
            }
            F::EnableUnsolicited | F::DisableUnsolicited => {
                if self.config.unsolicited.is_none() {
                    return Iin::NO_FUNC_CODE_SUPPORT;
                }
                let enable = function == F::EnableUnsolicited;
                self.each(function, objects, |this, header| match header.id() {
                    (60, variation @ 2..=4) => {
                        this.enable_unsolicited(class_of(variation), enable);
                        Iin::empty()
                    }
                    _ => Iin::OBJECT_UNKNOWN,
                })
            }
            F::AssignClass => self.assign_class(function, objects),
            F::RecordCurrentTime => {
                self.recorded = Some(now.mono);
                Iin::empty()
            }
            _ => Iin::NO_FUNC_CODE_SUPPORT,
        }
    }

    /// Carries out each header until the first that cannot be read.
    fn each(
        &mut self,
        function: FunctionCode,
        objects: &[u8],
        mut act: impl FnMut(&mut Self, &ObjectHeader<'_>) -> Iin,
    ) -> Iin {
        Headers::new(objects).fold(Iin::empty(), |errors, header| {
            errors
                | match header {
                    Ok(header) => match check(function, &header) {
                        Ok(()) => act(self, &header),
                        Err(error) => error,
                    },
                    Err(error) => indication(error),
                }
        })
    }

    fn write(&mut self, header: &ObjectHeader<'_>, now: Now) -> Iin {
        match (header.id(), header.range) {
            ((80, 1), _) => self.write_indications(header),
            ((50, 1 | 3), Range::Count(1)) => self.write_time(header, now),
            ((50, 1 | 3), _) => Iin::PARAMETER_ERROR,
            ((34, _), _) => self.write_dead_bands(header),
            _ => Iin::OBJECT_UNKNOWN,
        }
    }

    /// Only "restart" can be cleared, and nothing can be set (clause 4.4.3).
    fn write_indications(&mut self, header: &ObjectHeader<'_>) -> Iin {
        let mut items = header.items().peekable();
        if items.peek().is_none() {
            return Iin::PARAMETER_ERROR;
        }
        let mut errors = Iin::empty();
        for item in items {
            match item {
                (7, Item::Packed(0)) => self.iin -= Iin::DEVICE_RESTART,
                _ => errors = Iin::PARAMETER_ERROR,
            }
        }
        errors
    }

    fn write_time(&mut self, header: &ObjectHeader<'_>, now: Now) -> Iin {
        let Some((_, Item::Octets(octets))) = header.items().next() else {
            return Iin::PARAMETER_ERROR;
        };
        let Some(mut unix_ms) = time_of(octets) else {
            return Iin::PARAMETER_ERROR;
        };
        if header.id() == (50, 3) {
            // The time when we recorded ours: what has passed since is ours to add (clause 10).
            let Some(recorded) = self.recorded.take() else {
                return Iin::PARAMETER_ERROR;
            };
            unix_ms += now.mono.saturating_sub(recorded).as_millis() as u64;
        }
        self.time_due = self.config.need_time_every.map(|period| now.mono + period);
        self.tell(OutstationEvent::TimeWritten { unix_ms });
        Iin::empty()
    }

    fn write_dead_bands(&mut self, header: &ObjectHeader<'_>) -> Iin {
        let Layout::DeadBand(number) = header.variation.layout else {
            return Iin::PARAMETER_ERROR;
        };
        let mut errors = Iin::empty();
        for (index, item) in header.items() {
            let dead_band = match item {
                Item::Octets(octets) => dead_band(number, octets),
                Item::Packed(_) => None,
            };
            let points = self.database.range_mut(Kind::Analog, index, index);
            match (points, dead_band) {
                ([point], Some(dead_band)) => point.config.dead_band = dead_band,
                _ => errors = Iin::PARAMETER_ERROR,
            }
        }
        errors
    }

    fn freeze(&mut self, header: &ObjectHeader<'_>, clear: bool, now: Now) -> Iin {
        let range = match (header.id(), header.range) {
            ((20, 0), Range::All) => (0, u16::MAX.into()),
            ((20, 0), Range::Span { start, stop }) => (start, stop),
            ((20, 0), Range::Count(_)) => return Iin::PARAMETER_ERROR,
            _ => return Iin::OBJECT_UNKNOWN,
        };
        if self
            .database
            .range_mut(Kind::Counter, range.0, range.1)
            .is_empty()
        {
            return Iin::PARAMETER_ERROR;
        }
        let frozen = self.database.freeze(range, clear, self.stamp(now));
        let counters = frozen.len();
        for (_, event) in frozen {
            self.record(event, now);
        }
        self.tell(OutstationEvent::Frozen {
            counters,
            cleared: clear,
        });
        Iin::empty()
    }

    /// A class, then the points that are to be in it, and so on.
    fn assign_class(&mut self, function: FunctionCode, objects: &[u8]) -> Iin {
        let mut class: Option<Option<Class>> = None;
        self.each(function, objects, |this, header| {
            let (group, variation) = header.id();
            if group == 60 {
                class = Some((variation != 1).then(|| class_of(variation)));
                return Iin::empty();
            }
            let (Some(class), Some(kind)) = (class, Kind::of_static(group)) else {
                return Iin::OBJECT_UNKNOWN;
            };
            let (start, stop) = match header.range {
                Range::All => (0, u16::MAX.into()),
                Range::Span { start, stop } => (start, stop),
                Range::Count(_) => return Iin::PARAMETER_ERROR,
            };
            let points = this.database.range_mut(kind, start, stop);
            if points.is_empty() {
                return Iin::PARAMETER_ERROR;
            }
            let mut assigned = Vec::with_capacity(points.len());
            for point in points {
                point.assign(class);
                assigned.push(point.config.index);
            }
            for index in assigned {
                this.tell(OutstationEvent::ClassAssigned { kind, index, class });
            }
            Iin::empty()
        })
    }

    fn restart(&mut self, function: FunctionCode, sequence: u8, now: Now) {
        let RestartPolicy::Allowed { back_in } = self.config.restart else {
            return self.respond(sequence, &[], Iin::NO_FUNC_CODE_SUPPORT, now);
        };
        let ms = back_in.as_millis();
        // Milliseconds where 16 bits hold them, else seconds.
        let (variation, delay) = match u16::try_from(ms) {
            Ok(ms) => (2, ms),
            Err(_) => (1, u16::try_from(ms.div_ceil(1000)).unwrap_or(u16::MAX)),
        };
        let [low, high] = delay.to_le_bytes();
        self.respond(
            sequence,
            &[52, variation, 0x07, 1, low, high],
            Iin::empty(),
            now,
        );
        let cold = function == FunctionCode::ColdRestart;
        self.tell(OutstationEvent::Restart { cold });
    }
}

/// A dead band that makes sense.
fn dead_band(number: Number, octets: &[u8]) -> Option<f64> {
    let value = match number {
        Number::U16 => u16::from_le_bytes(octets.try_into().ok()?).into(),
        Number::U32 => u32::from_le_bytes(octets.try_into().ok()?).into(),
        Number::F32 => f32::from_le_bytes(octets.try_into().ok()?).into(),
        _ => return None,
    };
    (value >= 0.0).then_some(value)
}
