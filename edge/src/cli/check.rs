//! `busbar check`: is the site file right, and is the state that devices fall back to safe?

use std::{path::Path, process::ExitCode};

use super::{EX_CONFIG, say, say_error};
use crate::{
    northbound::above::password,
    site::{self, AreaSite, Loaded, Problem, Site, fallback},
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
    if let Some(above) = &site.above
        && let Err(error) = password(&above.password_file)
    {
        say_error(&format!("above.password_file: {error}"));
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
    if let Some(above) = &site.above
        && let Err(error) = password(&above.password_file)
    {
        say_error(&format!("above.password_file: {error}"));
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
