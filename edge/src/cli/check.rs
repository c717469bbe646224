//! `busbar check`: is the site file right, and is the state that devices fall back to safe?

use std::{path::Path, process::ExitCode};

use protocols::opcua::{
    Pki,
    pki::{RENEW_DAYS, Trust},
};

use super::{EX_CONFIG, say, say_error};
use crate::{
    clock::{US, now_us},
    northbound::above::password,
    site::{self, Above, AreaSite, Loaded, Problem, Site, fallback},
};

/// Loads a site or says everything that is wrong with it.
pub(super) fn load(file: &Path) -> Result<Site, ExitCode> {
    site::load(file).map_err(|problems| say_all(&problems))
}

/// The same, whatever the site is.
pub(super) fn load_any(file: &Path) -> Result<Loaded, ExitCode> {
    site::load_any(file).map_err(|problems| say_all(&problems))
}

fn say_all(problems: &[Problem]) -> ExitCode {
    for problem in problems {
        say_error(&problem.to_string());
    }
    let plural = if problems.len() == 1 { "" } else { "s" };
    say_error(&format!("{} problem{plural}", problems.len()));
    ExitCode::from(EX_CONFIG)
}

fn check_area(file: &Path, site: &AreaSite) -> ExitCode {
    let served = check_pki("serve.pki", &site.serve.pki);
    if !site
        .above
        .iter()
        .fold(served, |fine, above| check_above(above) && fine)
    {
        return ExitCode::from(EX_CONFIG);
    }
    say(&format!(
        "{}: ok, the market of an area: {} tenants, {} participants of its own",
        file.display(),
        site.setup.tenants.len(),
        site.setup.participants.len()
    ));
    ExitCode::SUCCESS
}

/// Whether the link to the market above can be opened with what is there; what cannot is said.
fn check_above(above: &Above) -> bool {
    let password = password(&above.password_file);
    if let Err(error) = &password {
        say_error(&format!("above.password_file: {error}"));
    }
    check_pki("above.pki", &above.pki) && password.is_ok()
}

/// The same of an end's certificate: whether it and its key are there and belong together, the key is its owner's alone,
/// and its time has neither to come nor is over. That it ends soon, or that nobody is trusted, is a warning.
fn check_pki(place: &str, pki: &Pki) -> bool {
    let own = match pki.own() {
        Ok(own) => own,
        Err(error) => {
            say_error(&format!("{place}: {error}"));
            return false;
        }
    };
    let now = now_us().div_euclid(US);
    let days = own.days_left(now);
    if now < own.not_before || now > own.not_after {
        say_error(&format!(
            "{place}: the certificate is not valid now ({days} days left)"
        ));
        return false;
    }
    if days <= RENEW_DAYS {
        say(&format!(
            "warning: {place}: the certificate ends in {days} days: busbar pki renew"
        ));
    }
    let trusted = pki.list().unwrap_or_default();
    if !trusted.iter().any(|(of, _)| *of == Trust::Trusted) {
        say(&format!(
            "warning: {place}: no certificate of another end is trusted: busbar pki trust"
        ));
    }
    true
}

pub(super) fn check(file: &Path) -> anyhow::Result<ExitCode> {
    let site = match load_any(file) {
        Ok(Loaded::Substation(site)) => *site,
        Ok(Loaded::Area(site)) => return Ok(check_area(file, &site)),
        Err(exit) => return Ok(exit),
    };
    let states = match fallback::states(&site) {
        Ok(states) => states,
        Err(error) => {
            say_error(
                &Problem {
                    file: file.to_owned(),
                    place: None,
                    path: String::new(),
                    message: error.to_string(),
                }
                .to_string(),
            );
            return Ok(ExitCode::from(EX_CONFIG));
        }
    };
    for state in states {
        let loading = state.loading.map_or_else(String::new, |(branch, loading)| {
            format!(", branch {branch} loaded {:.1} %", 100.0 * loading)
        });
        say(&format!(
            "{}: node {} at {:.4} pu, node {} at {:.4} pu{loading}",
            state.assumption, state.u_min.0, state.u_min.1, state.u_max.0, state.u_max.1
        ));
        for violation in state.violations {
            say(&format!("warning: {}: {violation}", state.assumption));
        }
    }
    if !site.above.as_ref().is_none_or(check_above) {
        return Ok(ExitCode::from(EX_CONFIG));
    }
    say(&format!(
        "{}: ok, {} devices, {} units, {} loads",
        file.display(),
        site.devices.len(),
        site.units.len(),
        site.loads.len()
    ));
    Ok(ExitCode::SUCCESS)
}
