//! Faults on demand: what a field does that no protocol's document mentions. Asked for by the
//! scenario or over the control interface, they last for a time or until they are taken back.

use std::time::Duration;

use protocols::modbus::server;
use serde::{Deserialize, Serialize};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The device closes every connection.
    Gone,
    /// Every answer comes `value` seconds late.
    Slow,
    /// Readings keep their last value: those of `point`, or all of the device.
    Frozen,
    /// Powers have the wrong sign: `point`, or all of the device.
    Sign,
    /// Readings are wrong by ten to the power of `value`: `point`, or all of the device.
    Scale,
    /// The reading of `point` is off by `value` standard deviations of its meter.
    Spike,
    /// The device answers with bytes that are no frame of its protocol.
    Garbage,
}

/// A fault asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Device of the scenario.
    pub device: String,
    /// What goes wrong.
    pub kind: Kind,
    /// Which reading, e.g. `bay1_u` of an RTU or `p` of a DER; none: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<String>,
    /// Seconds (slow), exponent of ten (scale) or standard deviations (spike).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Seconds until it ends by itself; none: it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_s: Option<f64>,
}

/// A fault in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    /// Number to take it back by.
    pub id: u64,
    /// What was asked for.
    pub request: Request,
    /// When it ends, s after the start.
    pub ends_at_s: Option<f64>,
}

/// Why a fault is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FaultError {
    /// No such device.
    #[error("no device {device:?}; there are {}", .known.join(", "))]
    UnknownDevice {
        /// Name asked for.
        device: String,
        /// Names there are.
        known: Vec<String>,
    },
    /// No such reading.
    #[error("device {device} has no reading {point:?}; it has {}", .known.join(", "))]
    UnknownPoint {
        /// Device.
        device: String,
        /// Name asked for.
        point: String,
        /// Names there are.
        known: Vec<String>,
    },
    /// Something is missing, too much or out of range.
    #[error("fault {kind:?} {what}")]
    Unfit {
        /// What was asked for.
        kind: Kind,
        /// What is wrong with it.
        what: String,
    },
}

impl Request {
    /// Whether the fault fits a device with readings `points`.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check(&self, points: &[String]) -> Result<(), FaultError> {
        let unfit = |what: &str| {
            Err(FaultError::Unfit {
                kind: self.kind,
                what: what.to_owned(),
            })
        };
        let whole_device = matches!(self.kind, Kind::Gone | Kind::Slow | Kind::Garbage);
        match (&self.point, self.kind) {
            (Some(_), _) if whole_device => return unfit("takes no point: it concerns the device"),
            (None, Kind::Spike) => return unfit("needs a point"),
            (Some(point), Kind::Spike) if point == "soc" => {
                return unfit("needs a reading with noise; soc has none");
            }
            (Some(point), Kind::Sign) if !is_power(point) => {
                return unfit("concerns powers: a point p or q");
            }
            (Some(point), _) if !points.contains(point) => {
                return Err(FaultError::UnknownPoint {
                    device: self.device.clone(),
                    point: point.clone(),
                    known: points.to_vec(),
                });
            }
            _ => {}
        }
        match (self.kind, self.value) {
            (Kind::Slow, Some(s)) if s > 0.0 && s <= 3600.0 => {}
            (Kind::Slow, _) => return unfit("needs a value above 0 and up to 3600, in seconds"),
            (Kind::Scale, Some(k)) if k.fract() == 0.0 && (1.0..=4.0).contains(&k.abs()) => {}
            (Kind::Scale, _) => {
                return unfit("needs a value of -4 to 4, not 0, the exponent of ten");
            }
            (Kind::Spike, Some(n)) if n.is_finite() => {}
            (Kind::Spike, _) => return unfit("needs a value, in standard deviations"),
            (_, Some(_)) => return unfit("takes no value"),
            (_, None) => {}
        }
        if self.for_s.is_some_and(|s| !s.is_finite() || s <= 0.0) {
            return unfit("must last for a time above 0 s");
        }
        Ok(())
    }
}

fn is_power(point: &str) -> bool {
    matches!(point.rsplit('_').next(), Some("p" | "q"))
}

/// What stands between a meter and what is read of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distortion {
    /// The reading stays what it was.
    pub frozen: bool,
    /// The sign is turned.
    pub flipped: bool,
    /// Exponent of ten too much.
    pub exponent: i32,
    /// Standard deviations added.
    pub sigmas: f64,
}

/// The faults in force.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    list: Vec<Fault>,
    last_id: u64,
}

impl Faults {
    /// Puts a checked fault in force.
    pub fn add(&mut self, request: Request, now_s: f64) -> u64 {
        self.last_id += 1;
        let ends_at_s = request.for_s.map(|s| now_s + s);
        self.list.push(Fault {
            id: self.last_id,
            request,
            ends_at_s,
        });
        self.last_id
    }

    /// Takes one back; false when there is none of this number.
    pub fn remove(&mut self, id: u64) -> bool {
        let before = self.list.len();
        self.list.retain(|fault| fault.id != id);
        self.list.len() < before
    }

    /// Takes all back.
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// Lets time pass.
    pub fn expire(&mut self, now_s: f64) {
        self.list
            .retain(|fault| fault.ends_at_s.is_none_or(|end| now_s < end));
    }

    /// Those in force.
    #[must_use]
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    fn of<'a>(&'a self, device: &'a str) -> impl Iterator<Item = &'a Request> {
        let requests = self.list.iter().map(|fault| &fault.request);
        requests.filter(move |request| request.device == device)
    }

    /// How a device's server misbehaves; the worst of its faults.
    #[must_use]
    pub fn wire(&self, device: &str) -> server::Fault {
        let has = |kind| self.of(device).any(|request| request.kind == kind);
        if has(Kind::Gone) {
            return server::Fault::Gone;
        }
        if has(Kind::Garbage) {
            return server::Fault::Garbage;
        }
        let slow = self.of(device).filter(|request| request.kind == Kind::Slow);
        match slow.filter_map(|request| request.value).reduce(f64::max) {
            Some(seconds) => server::Fault::Slow(Duration::from_secs_f64(seconds)),
            None => server::Fault::None,
        }
    }

    /// What happens to a reading.
    #[must_use]
    pub fn distortion(&self, device: &str, point: &str) -> Distortion {
        let mut distortion = Distortion::default();
        for request in self.of(device) {
            if request.point.as_deref().is_some_and(|p| p != point) {
                continue;
            }
            let value = request.value.unwrap_or_default();
            match request.kind {
                Kind::Frozen => distortion.frozen = true,
                Kind::Sign if is_power(point) => distortion.flipped ^= true,
                Kind::Scale => distortion.exponent += value as i32,
                Kind::Spike => distortion.sigmas += value,
                Kind::Sign | Kind::Gone | Kind::Slow | Kind::Garbage => {}
            }
        }
        distortion
    }

    /// Whether the device as a whole is frozen, counters and positions too.
    #[must_use]
    pub fn freezes(&self, device: &str) -> bool {
        self.of(device)
            .any(|request| request.kind == Kind::Frozen && request.point.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: Kind, point: Option<&str>, value: Option<f64>) -> Request {
        Request {
            device: "rtu8".into(),
            kind,
            point: point.map(str::to_owned),
            value,
            for_s: None,
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_in_words() {
        let points = ["bay1_u".to_owned(), "bay1_p".to_owned()];
        let mut short = request(Kind::Gone, None, None);
        short.for_s = Some(0.0);
        for (bad, why) in [
            (request(Kind::Gone, Some("bay1_u"), None), "takes no point"),
            (request(Kind::Slow, None, None), "seconds"),
            (request(Kind::Scale, None, Some(0.5)), "exponent"),
            (request(Kind::Spike, None, Some(10.0)), "needs a point"),
            (request(Kind::Spike, Some("bay1_u"), None), "deviations"),
            (request(Kind::Spike, Some("soc"), Some(3.0)), "soc has none"),
            (request(Kind::Sign, Some("bay1_u"), None), "p or q"),
            (
                request(Kind::Frozen, Some("bay9_u"), None),
                "bay1_u, bay1_p",
            ),
            (request(Kind::Garbage, None, Some(1.0)), "takes no value"),
            (short, "above 0 s"),
        ] {
            let error = bad.check(&points).expect_err("unfit").to_string();
            assert!(error.contains(why), "{error:?} does not say {why:?}");
        }
        for good in [
            request(Kind::Frozen, None, None),
            request(Kind::Sign, Some("bay1_p"), None),
            request(Kind::Scale, Some("bay1_u"), Some(-1.0)),
            request(Kind::Spike, Some("bay1_u"), Some(10.0)),
            request(Kind::Slow, None, Some(3.0)),
        ] {
            assert_eq!(good.check(&points), Ok(()));
        }
    }

    #[test]
    fn faults_end_by_themselves_or_when_taken_back() {
        let mut faults = Faults::default();
        let mut gone = request(Kind::Gone, None, None);
        gone.for_s = Some(5.0);
        faults.add(gone, 10.0);
        let slow = faults.add(request(Kind::Slow, None, Some(3.0)), 10.0);
        assert_eq!(faults.wire("rtu8"), server::Fault::Gone);
        assert_eq!(faults.wire("rtu3"), server::Fault::None);
        faults.expire(15.0);
        let delay = Duration::from_secs(3);
        assert_eq!(faults.wire("rtu8"), server::Fault::Slow(delay));
        assert!(faults.remove(slow));
        assert!(!faults.remove(slow));
        assert_eq!(faults.wire("rtu8"), server::Fault::None);
    }

    #[test]
    fn a_fault_of_the_whole_device_reaches_the_readings_it_makes_sense_for() {
        let mut faults = Faults::default();
        faults.add(request(Kind::Sign, None, None), 0.0);
        assert!(faults.distortion("rtu8", "bay1_p").flipped);
        assert!(!faults.distortion("rtu8", "bay1_u").flipped);
        faults.add(request(Kind::Frozen, Some("bay1_u"), None), 0.0);
        assert!(faults.distortion("rtu8", "bay1_u").frozen);
        assert!(!faults.distortion("rtu8", "bay2_u").frozen);
        assert!(!faults.freezes("rtu8"));
    }
}
