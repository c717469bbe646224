//! Alarms: what a person should know, from when it came until it went and was seen.

use std::collections::{BTreeMap, VecDeque};

use crate::{clock::rfc3339, web::api::AlarmView};

/// How many alarms that have gone are kept to be looked at.
const RECENT: usize = 200;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

#[derive(Clone, Debug)]
struct Alarm {
    id: u64,
    severity: Severity,
    code: &'static str,
    source: String,
    text: String,
    since_us: i64,
    acknowledged_by: Option<String>,
    /// Last time it was raised.
    raised_us: i64,
}

impl Alarm {
    fn view(&self) -> AlarmView {
        AlarmView {
            id: self.id,
            severity: self.severity.as_str().to_owned(),
            code: self.code.to_owned(),
            source: self.source.clone(),
            text: self.text.clone(),
            since: rfc3339(self.since_us),
            cleared: None,
            acknowledged_by: self.acknowledged_by.clone(),
        }
    }
}

/// Standing and recent alarms.
#[derive(Debug)]
pub(super) struct Alarms {
    next_id: u64,
    standing: BTreeMap<(&'static str, String), Alarm>,
    /// Newest first; those of earlier runs too.
    recent: VecDeque<AlarmView>,
}

impl Alarms {
    /// Numbers begin at the start's time in ms, so that no two runs use the same one.
    pub(super) fn new(now_us: i64) -> Self {
        Self {
            next_id: u64::try_from(now_us / 1000).unwrap_or_default(),
            standing: BTreeMap::new(),
            recent: VecDeque::new(),
        }
    }

    /// The condition holds. One alarm per code and source stands, however often it is raised.
    pub(super) fn raise(
        &mut self,
        severity: Severity,
        code: &'static str,
        source: &str,
        text: String,
        now_us: i64,
    ) {
        let key = (code, source.to_owned());
        if let Some(alarm) = self.standing.get_mut(&key) {
            alarm.severity = severity;
            alarm.text = text;
            alarm.raised_us = now_us;
            return;
        }
        tracing::warn!(code, source, text, "alarm");
        let id = self.next_id;
        self.next_id += 1;
        let alarm = Alarm {
            id,
            severity,
            code,
            source: source.to_owned(),
            text,
            since_us: now_us,
            acknowledged_by: None,
            raised_us: now_us,
        };
        self.standing.insert(key, alarm);
    }

    /// The condition no longer holds.
    pub(super) fn clear(&mut self, code: &'static str, source: &str, now_us: i64) {
        if let Some(alarm) = self.standing.remove(&(code, source.to_owned())) {
            self.gone(alarm, now_us);
        }
    }

    /// Conditions of this code that were not raised for `quiet_us` no longer hold.
    pub(super) fn clear_quiet(&mut self, code: &'static str, quiet_us: i64, now_us: i64) {
        let quiet: Vec<_> = self
            .standing
            .iter()
            .filter(|(key, alarm)| key.0 == code && now_us - alarm.raised_us >= quiet_us)
            .map(|(key, _)| key.clone())
            .collect();
        for key in quiet {
            if let Some(alarm) = self.standing.remove(&key) {
                self.gone(alarm, now_us);
            }
        }
    }

    fn gone(&mut self, alarm: Alarm, now_us: i64) {
        self.recent.push_front(AlarmView {
            cleared: Some(rfc3339(now_us)),
            ..alarm.view()
        });
        self.recent.truncate(RECENT);
    }

    /// Takes over an alarm of an earlier run, the oldest first. One that stood then is over: should
    /// its condition hold still, it comes anew.
    pub(super) fn restore(&mut self, mut alarm: AlarmView, now_us: i64) {
        alarm.cleared.get_or_insert_with(|| rfc3339(now_us));
        self.next_id = self.next_id.max(alarm.id + 1);
        self.recent.push_front(alarm);
        self.recent.truncate(RECENT);
    }

    /// Notes that a person has seen it.
    pub(super) fn acknowledge(&mut self, id: u64, user: &str) -> Option<AlarmView> {
        if let Some(alarm) = self.standing.values_mut().find(|alarm| alarm.id == id) {
            alarm.acknowledged_by.get_or_insert_with(|| user.to_owned());
            return Some(alarm.view());
        }
        let alarm = self.recent.iter_mut().find(|alarm| alarm.id == id)?;
        alarm.acknowledged_by.get_or_insert_with(|| user.to_owned());
        Some(alarm.clone())
    }

    /// What stands and is at least a warning, in words.
    pub(super) fn reasons(&self) -> Vec<String> {
        self.standing
            .values()
            .filter(|alarm| alarm.severity >= Severity::Warning)
            .map(|alarm| alarm.text.clone())
            .collect()
    }

    /// All, newest first.
    pub(super) fn view(&self) -> Vec<AlarmView> {
        let standing = self.standing.values().map(Alarm::view);
        let mut all: Vec<AlarmView> = standing.chain(self.recent.iter().cloned()).collect();
        all.sort_by_key(|alarm| std::cmp::Reverse(alarm.id));
        all
    }
}
