//! From award to setpoint: within limits, ramped, leased, with a fallback; who may command.
