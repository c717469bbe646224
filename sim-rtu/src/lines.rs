//! Serial lines: pseudo-terminals, each under a name of its own, with the devices that the scenario puts
//! on it.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use protocols::modbus::{
    LineServer,
    server::{Fault, Registers},
};

/// A line's devices by unit identifier: index and registers of each.
pub(crate) type Units = BTreeMap<u8, (usize, Arc<dyn Registers>)>;

/// A line with its server.
#[derive(Debug)]
pub(crate) struct SerialLine {
    server: LineServer,
    /// The name that leads to the port.
    path: PathBuf,
    /// Index of each device, by its unit identifier.
    devices: BTreeMap<u8, usize>,
}

impl SerialLine {
    /// Serves `units` at `path`; the folder is made.
    pub(crate) fn open(path: &Path, units: Units) -> io::Result<Self> {
        let devices = units.iter().map(|(&unit, (device, _))| (unit, *device));
        let devices = devices.collect();
        let registers = units.into_iter().map(|(unit, (_, wire))| (unit, wire));
        let server = LineServer::open(registers.collect())?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // What a simulator left that was killed; anything but a link is somebody's.
        if fs::symlink_metadata(path).is_ok_and(|of| of.is_symlink()) {
            fs::remove_file(path)?;
        }
        symlink(server.path(), path)?;
        Ok(Self {
            server,
            path: path.to_owned(),
            devices,
        })
    }

    /// Makes each device misbehave as `fault` says of it.
    pub(crate) fn set_faults(&self, fault: impl Fn(usize) -> Fault) {
        for (&unit, &device) in &self.devices {
            self.server.set_fault(unit, fault(device));
        }
    }
}

impl Drop for SerialLine {
    fn drop(&mut self) {
        // Gone already: so much the better.
        let _ = fs::remove_file(&self.path);
    }
}
