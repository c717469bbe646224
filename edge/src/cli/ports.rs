//! `busbar ports`: what a firewall has to let in, one port a line.

use std::{net::SocketAddr, path::Path, process::ExitCode};

use super::{check::load, say};

pub(super) fn ports(file: &Path) -> anyhow::Result<ExitCode> {
    let site = match load(file) {
        Ok(site) => site,
        Err(exit) => return Ok(exit),
    };
    for line in lines(&site.listens()) {
        say(&line);
    }
    Ok(ExitCode::SUCCESS)
}

/// `tcp PORT WHAT` of each that others can reach.
fn lines(listens: &[(SocketAddr, &str)]) -> Vec<String> {
    let reachable = listens
        .iter()
        .filter(|(address, _)| !address.ip().to_canonical().is_loopback());
    reachable
        .map(|(address, what)| format!("tcp {} {what}", address.port()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_others_can_reach_is_listed() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let listens = [
            (address("0.0.0.0:443"), "web"),
            (address("127.0.0.1:8080"), "a"),
            (address("[::1]:8081"), "b"),
            (address("[::ffff:127.0.0.1]:8082"), "c"),
            (address("192.168.1.5:20000"), "dnp3"),
        ];
        assert_eq!(lines(&listens), ["tcp 443 web", "tcp 20000 dnp3"]);
    }
}
