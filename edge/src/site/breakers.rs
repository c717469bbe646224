//! Breakers that can be operated: of each bay of a branch whose device model takes the command `bayN_breaker`.

use protocols::point::PointId;

use super::{BayOf, Device, Site, Wire};

/// A breaker that can be operated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// What is written to: true closes it. Its name, too.
    pub command: PointId,
    /// Contact that is made when it is closed.
    pub closed: PointId,
    /// Contact that is made when it is open.
    pub open: PointId,
}

impl Device {
    /// Its breakers that can be operated, in the order of its bays.
    pub fn breakers(&self) -> impl Iterator<Item = Breaker> {
        let of_branch = |bay: &&super::Bay| matches!(bay.of, BayOf::Branch { .. });
        let breaker = |bay: &super::Bay| {
            let point = |what: &str| PointId::new(&self.id, &format!("bay{}_{what}", bay.number));
            let command = point("breaker");
            self.takes(command.name()).then(|| Breaker {
                closed: point("closed"),
                open: point("open"),
                command,
            })
        };
        self.bays.iter().filter(of_branch).filter_map(breaker)
    }

    /// Whether its model has a command of this name.
    fn takes(&self, name: &str) -> bool {
        match &self.wire {
            Wire::Sunspec { .. } => false,
            Wire::Modbus { map, .. } => {
                let mut points = map.points.iter();
                points.any(|point| point.name == name && point.writable)
            }
            Wire::Dnp3 { map, .. } => {
                let mut points = map.points.iter();
                points.any(|point| point.name == name && point.output.is_some())
            }
            Wire::Iec104 { map, .. } => map.commands.iter().any(|of| of.name == name),
            Wire::Iec61850 { map, .. } => map.commands.iter().any(|of| of.name == name),
        }
    }
}

impl Site {
    /// All breakers that can be operated, in the order of the site file.
    pub fn breakers(&self) -> impl Iterator<Item = Breaker> {
        self.devices.iter().flat_map(Device::breakers)
    }
}
