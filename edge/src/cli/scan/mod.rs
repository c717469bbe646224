//! `busbar scan`: what is there, as tables for the site file that a person goes on from.

mod iec61850;
mod modbus;

use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub(super) enum ScanVerb {
    /// IEDs of IEC 61850: one that answers, or those of an SCL file. Exit status 1 if it does not answer,
    /// 65 if the file is wrong.
    Iec61850(iec61850::Iec61850Arguments),
    /// Devices that speak Modbus TCP: SunSpec devices, and those whose registers look like a shipped
    /// model's. Only reads. Exit status 1 if nothing answers.
    Modbus(modbus::ModbusArguments),
}

pub(super) fn scan(verb: ScanVerb) -> anyhow::Result<ExitCode> {
    match verb {
        ScanVerb::Iec61850(arguments) => iec61850::scan(&arguments),
        ScanVerb::Modbus(arguments) => modbus::scan(&arguments),
    }
}
