//! Modbus (MODBUS Application Protocol V1.1b3) and SunSpec on top of it.
