//! Networks in power-grid-model's JSON and, after a zero octet, updates of them: they are read or refused, and what
//! was read is solved, symmetric and by phase, in each scenario, or said not to have a solution.

#![no_main]

use fuzz::fuzz_target;
use solver::{
    network::{Grid, pgm_json},
    powerflow::{AsymPowerFlow, Method, Options, PowerFlow},
};

fn solve(grid: &Grid) {
    for method in [Method::Newton, Method::Current] {
        let options = Options {
            method,
            ..Options::default()
        };
        let _ = PowerFlow::new(grid).run(grid, &[], None, &options);
        if let Ok(mut solver) = AsymPowerFlow::new(grid) {
            let _ = solver.run(grid, None, &options);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |octet| *octet == 0);
    let mut text = || std::str::from_utf8(parts.next()?).ok();
    let Some(input) = text() else { return };
    let read = pgm_json::read(input);
    let solved = read.is_ok();
    let Ok(network) = read.or_else(|_| pgm_json::read_measured(input)) else {
        return;
    };
    let Ok(mut grid) = Grid::new(&network) else {
        return;
    };
    let merged = grid.merged();
    if solved {
        solve(&grid);
        let _ = PowerFlow::new(&merged.grid).run(&merged.grid, &[], None, &Options::default());
    }
    let scenarios = text().and_then(|update| pgm_json::read_update(update, &network).ok());
    for mut scenario in scenarios.unwrap_or_default().into_iter().take(4) {
        let before = grid.clone();
        grid.exchange(&mut scenario)
            .expect("it was read for this network");
        if solved {
            solve(&grid);
        }
        grid.exchange(&mut scenario)
            .expect("what was made can be unmade");
        assert_eq!(grid, before);
    }
});
