//! READ requests (clause 4.4.2): what is asked for, and the response in one or more fragments.

use super::{
    Class, Outstation,
    buffer::Wanted,
    database::{Selection, What},
    requests::indication,
    session::Solicited,
    support::check,
};
use crate::dnp3::{
    Kind, Now,
    app::{Control, FunctionCode, Headers, Iin, ObjectHeader, Range, Writer, next_sequence},
};

/// Ranges of present values in one request; more are refused, as each costs memory.
const MAX_SELECTIONS: usize = 128;

impl Outstation {
    /// Answers a read.
    pub(super) fn read(&mut self, sequence: u8, objects: &[u8], now: Now) {
        let mut errors = Iin::empty();
        let mut writer = Writer::new(self.config.max_fragment - 4);
        for header in Headers::of_read(objects) {
            errors |= match header {
                Ok(header) => self.select_header(&header, &mut writer, now),
                Err(error) => indication(error),
            };
        }
        self.send_fragment(sequence, true, writer, errors, now);
    }

    /// The master confirmed a response: goes on with it if it was not the last.
    pub(super) fn solicited_confirmed(&mut self, confirmed: u8, now: Now) {
        let Solicited::Confirm { sequence, read, .. } = self.solicited else {
            return;
        };
        if confirmed != sequence {
            return;
        }
        self.solicited = Solicited::Idle;
        self.broadcast = None;
        if !read {
            return;
        }
        self.buffer.confirm();
        if self.buffer.has_selected() || !self.reading.is_empty() {
            let writer = Writer::new(self.config.max_fragment - 4);
            self.send_fragment(next_sequence(sequence), false, writer, Iin::empty(), now);
        }
    }

    /// Sends the next fragment: events first, in their order, then present values.
    fn send_fragment(
        &mut self,
        sequence: u8,
        first: bool,
        mut writer: Writer,
        errors: Iin,
        now: Now,
    ) {
        let events = self.buffer.write(&mut writer);
        if !self.buffer.has_selected() {
            while let Some(selection) = self.reading.front_mut() {
                if !self.database.write(selection, &mut writer) {
                    break;
                }
                self.reading.pop_front();
            }
        }
        let last = !self.buffer.has_selected() && self.reading.is_empty();
        let control = Control {
            first,
            last,
            confirm: events || !last,
            ..Control::single(sequence)
        };
        self.send_response(control, &writer.finish(), errors, true, now);
    }

    /// Marks what a header asks for; what cannot be had.
    fn select_header(&mut self, header: &ObjectHeader<'_>, writer: &mut Writer, now: Now) -> Iin {
        if let Err(error) = check(FunctionCode::Read, header) {
            return error;
        }
        let (group, variation) = header.id();
        let asked = (variation != 0).then_some(variation);
        match (group, variation) {
            (60, 1) => self.push_all(),
            (60, 2..=4) => self.select_events(header, Wanted::Class(class_of(variation))),
            (50, 1) => as_iin(writer.time(50, 1, now.unix_ms)),
            (80, 1) => {
                let [low, high] = self.indications(now).octets();
                as_iin(writer.raw(&[80, 1, 0x00, 0, 15, low, high]))
            }
            (34, _) => self.select_values(header, What::DeadBands(asked.unwrap_or(3))),
            (110, _) => self.select_values(header, What::Octets),
            _ => {
                if let Some(kind) = Kind::of_static(group) {
                    self.select_values(header, What::Points(kind, asked))
                } else if let Some(kind) = Kind::of_events(group) {
                    self.select_events(header, Wanted::Kind(kind, asked))
                } else {
                    Iin::OBJECT_UNKNOWN
                }
            }
        }
    }

    fn push_all(&mut self) -> Iin {
        let all: Vec<Selection> = self.database.class_0().collect();
        if self.reading.len() + all.len() > MAX_SELECTIONS {
            return Iin::PARAMETER_ERROR;
        }
        self.reading.extend(all);
        Iin::empty()
    }

    fn select_events(&mut self, header: &ObjectHeader<'_>, wanted: Wanted) -> Iin {
        let count = match (header.range, header.qualifier >> 4) {
            (Range::All, _) => usize::MAX,
            (Range::Count(count), 0) => count as usize,
            _ => return Iin::PARAMETER_ERROR,
        };
        self.buffer.select(wanted, count);
        Iin::empty()
    }

    fn select_values(&mut self, header: &ObjectHeader<'_>, what: What) -> Iin {
        match header.range {
            Range::All => {
                let all = Selection::all(what);
                // Asking for all of nothing is asking for an object that is not there.
                if !self.database.covers(&all).0 {
                    return Iin::OBJECT_UNKNOWN;
                }
                self.push(all)
            }
            Range::Span { start, stop } => self.push(Selection {
                what,
                next: start,
                stop,
            }),
            Range::Count(_) if header.qualifier >> 4 == 0 => Iin::PARAMETER_ERROR,
            Range::Count(_) => header
                .indices()
                .map(|index| Selection {
                    what,
                    next: index,
                    stop: index,
                })
                .fold(Iin::empty(), |iin, selection| iin | self.push(selection)),
        }
    }

    fn push(&mut self, selection: Selection) -> Iin {
        if self.reading.len() >= MAX_SELECTIONS {
            return Iin::PARAMETER_ERROR;
        }
        let all = selection.next == 0 && selection.stop == u32::from(u16::MAX);
        let (some, whole) = self.database.covers(&selection);
        if some {
            self.reading.push_back(selection);
        }
        if whole || all {
            Iin::empty()
        } else {
            Iin::PARAMETER_ERROR
        }
    }
}

/// The class of g60's variations 2 to 4.
pub(super) fn class_of(variation: u8) -> Class {
    match variation {
        2 => Class::One,
        3 => Class::Two,
        _ => Class::Three,
    }
}

fn as_iin(done: bool) -> Iin {
    if done {
        Iin::empty()
    } else {
        Iin::PARAMETER_ERROR
    }
}
