//! On random networks: derivatives by numeric differentiation, optimality, hand calculation.

use num_complex::Complex64;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::estimation::AngleFrame;

const ZERO: Complex64 = Complex64::new(0.0, 0.0);

/// Admittances of a branch by phase: mutually coupled, or with a turn as a transformer's.
fn branch<const P: usize>(rng: &mut StdRng, from: usize, to: usize, turned: bool) -> TwoPort<P> {
    let mut series = [[ZERO; P]; P];
    for p in 0..P {
        for q in 0..=p {
            let size = match p == q {
                true => rng.random_range(40.0..60.0),
                false => -rng.random_range(5.0..12.0),
            };
            series[p][q] = Complex64::new(size, -size * rng.random_range(0.5..1.5));
            series[q][p] = series[p][q];
        }
    }
    let turn = if turned {
        Complex64::from_polar(1.02, 0.5)
    } else {
        Complex64::ONE
    };
    let charging = Complex64::new(0.0, 0.01);
    let scaled = |by: Complex64| series.map(|row| row.map(|y| by * y));
    let own = |by: f64| {
        let mut y = scaled(Complex64::from(by));
        for p in 0..P {
            y[p][p] += charging;
        }
        y
    };
    TwoPort {
        from,
        to,
        yff: own(1.0 / turn.norm_sqr()),
        yft: scaled(-1.0 / turn.conj()),
        ytf: scaled(-1.0 / turn),
        ytt: own(1.0),
    }
}

/// A network, its true state, and what is measured of it.
struct Case<const P: usize> {
    flat: Flat<P>,
    u: Vec<[Complex64; P]>,
}

fn injections<const P: usize>(flat: &Flat<P>, u: &[[Complex64; P]]) -> Vec<[Complex64; P]> {
    let mut i = vec![[ZERO; P]; u.len()];
    for (k, y) in flat.shunts.iter().enumerate() {
        for p in 0..P {
            i[k][p] += (0..P).map(|q| y[p][q] * u[k][q]).sum::<Complex64>();
        }
    }
    for b in &flat.branches {
        for p in 0..P {
            for q in 0..P {
                i[b.from][p] += b.yff[p][q] * u[b.from][q] + b.yft[p][q] * u[b.to][q];
                i[b.to][p] += b.ytf[p][q] * u[b.from][q] + b.ytt[p][q] * u[b.to][q];
            }
        }
    }
    let power =
        |(i, u): (&[Complex64; P], &[Complex64; P])| std::array::from_fn(|p| u[p] * i[p].conj());
    i.iter().zip(u).map(power).collect()
}

fn flow_value<const P: usize>(flat: &Flat<P>, flow: &Flow, u: &[[Complex64; P]]) -> f64 {
    let p = flow.phase;
    let current = |y: &Admittance<P>, node: usize| -> Complex64 {
        (0..P).map(|q| y[p][q] * u[node][q]).sum()
    };
    let (own, i) = match flow.end {
        End::From(k) => {
            let b = &flat.branches[k];
            (b.from, current(&b.yff, b.from) + current(&b.yft, b.to))
        }
        End::To(k) => {
            let b = &flat.branches[k];
            (b.to, current(&b.ytt, b.to) + current(&b.ytf, b.from))
        }
        End::Shunt(k) => {
            let (node, y) = &flat.measured_shunts[k];
            (*node, current(y, *node))
        }
    };
    let s = u[own][p] * i.conj();
    match flow.kind {
        FlowKind::P => s.re,
        FlowKind::Q => s.im,
        FlowKind::Current => i.norm(),
        FlowKind::Along(AngleFrame::Global, direction) => i.norm() * (i.arg() - direction).cos(),
        FlowKind::Along(AngleFrame::Local, direction) => {
            i.norm() * (u[own][p].arg() - i.arg() - direction).cos()
        }
    }
}

const KINDS: [FlowKind; 7] = [
    FlowKind::P,
    FlowKind::Q,
    FlowKind::Current,
    FlowKind::Along(AngleFrame::Global, 0.3),
    FlowKind::Along(AngleFrame::Global, -2.0),
    FlowKind::Along(AngleFrame::Local, 0.0),
    FlowKind::Along(AngleFrame::Local, 1.2),
];

/// Measurements off by `noise` standard deviations. Nodes inject by turns nothing, what is
/// measured, and what is not known.
fn case<const P: usize>(n: usize, chords: usize, noise: f64, seed: u64) -> Case<P> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut branches: Vec<TwoPort<P>> = (1..n)
        .map(|k| {
            let parent = rng.random_range(k.saturating_sub(4)..k);
            branch(&mut rng, parent, k, k % 5 == 0)
        })
        .collect();
    for _ in 0..chords {
        let (i, j) = (rng.random_range(0..n / 2), rng.random_range(n / 2..n));
        // Around a loop the turns must add up to nothing.
        branches.push(branch(&mut rng, i, j, false));
    }
    let u: Vec<[Complex64; P]> = (0..n)
        .map(|_| {
            std::array::from_fn(|p| {
                let turn = -std::f64::consts::TAU / 3.0 * p as f64;
                Complex64::from_polar(
                    rng.random_range(0.98..1.02),
                    turn + rng.random_range(-0.02..0.02),
                )
            })
        })
        .collect();
    let mut shunts = vec![[[ZERO; P]; P]; n];
    shunts[n / 3][P - 1][P - 1] = Complex64::new(0.01, 0.05);
    let mut flat = Flat {
        branches,
        shunts,
        injections: vec![[[Gauss::UNKNOWN; 2]; P]; n],
        fixed: vec![[Fixed::default(); P]; n],
        magnitudes: Vec::new(),
        angles: Vec::new(),
        phasors: Vec::new(),
        flows: Vec::new(),
        measured_shunts: Vec::new(),
    };
    flat.measured_shunts.push((n / 3, flat.shunts[n / 3]));
    let mut u = u;
    quiet_nodes(&mut flat, &mut u);
    let mut off = |sigma: f64| noise * sigma * rng.random_range(-1.0..1.0);
    for (k, s) in injections(&flat, &u).iter().enumerate() {
        for p in 0..P {
            flat.injections[k][p] = match k % 3 {
                _ if k == 0 => [Gauss::UNKNOWN; 2],
                1 => {
                    [Gauss {
                        value: 0.0,
                        variance: 0.0,
                    }; 2]
                }
                _ => [s[p].re, s[p].im].map(|value| Gauss {
                    value: value + off(0.02),
                    variance: 4e-4,
                }),
            };
        }
    }
    for (k, u) in u.iter().enumerate().step_by(4) {
        for p in 0..P {
            flat.magnitudes.push(Voltage {
                node: k,
                phase: p,
                value: u[p].norm() + off(0.002),
                weight: 1.0 / 4e-6,
            });
        }
    }
    flat.angles.push(Voltage {
        node: n - 1,
        phase: 0,
        value: u[n - 1][0].arg() + off(0.001),
        weight: 1e6,
    });
    let m = flat.angles[0];
    let u = &u;
    for direction in [0.2, 1.8] {
        let value = (u[n / 2][P - 1] * Complex64::cis(-direction)).re + off(0.002);
        let (node, phase) = (n / 2, P - 1);
        flat.phasors.push((
            Voltage {
                node,
                phase,
                value,
                ..m
            },
            direction,
        ));
    }
    for p in 0..P {
        flat.fixed[0][p].angle = true;
    }
    for branch in 0..flat.branches.len() {
        let end = match branch % 2 {
            _ if branch == 6 => End::Shunt(0),
            0 => End::From(branch),
            _ => End::To(branch),
        };
        for phase in 0..P {
            let mut flow = Flow {
                end,
                phase,
                kind: KINDS[(branch + phase) % 7],
                value: 0.0,
                weight: 1e4,
            };
            flow.value = flow_value(&flat, &flow, u);
            if flow.kind == FlowKind::Current && flow.value < 0.3 {
                // Without a direction to speak of.
                flow.kind = FlowKind::P;
                flow.value = flow_value(&flat, &flow, u);
            }
            flow.value += off(0.01);
            if branch % 3 != 1 {
                flat.flows.push(flow);
            }
        }
    }
    let u = u.clone();
    Case { flat, u }
}

/// Moves the voltages of nodes without injection to where they have none, by Gauss-Seidel on the
/// linear equations of their currents.
fn quiet_nodes<const P: usize>(flat: &mut Flat<P>, u: &mut [[Complex64; P]]) {
    // Each phase at a time with its own admittance.
    let own: Vec<[Complex64; P]> = (0..u.len())
        .map(|k| {
            std::array::from_fn(|p| {
                let mut y = flat.shunts[k][p][p];
                for b in &flat.branches {
                    if b.from == k {
                        y += b.yff[p][p];
                    }
                    if b.to == k {
                        y += b.ytt[p][p];
                    }
                }
                y
            })
        })
        .collect();
    for _ in 0..100_000 {
        let mut worst = 0.0_f64;
        for k in (1..u.len()).step_by(3) {
            for p in 0..P {
                let i = (injections(flat, u)[k][p] / u[k][p]).conj();
                u[k][p] -= i / own[k][p];
                worst = worst.max(i.norm());
            }
        }
        if worst < 1e-12 {
            return;
        }
    }
    panic!("the voltages of quiet nodes do not settle");
}

/// The Lagrangian at multipliers and voltages in the order of the case.
fn lagrangian<const P: usize>(
    flat: &Flat<P>,
    u: &[[Complex64; P]],
    lambda: &[[Complex64; P]],
) -> f64 {
    let mut sum = 0.0;
    for m in &flat.magnitudes {
        sum += 0.5 * m.weight * (m.value - u[m.node][m.phase].norm()).powi(2);
    }
    for m in &flat.angles {
        sum += 0.5 * m.weight * (m.value - u[m.node][m.phase].arg()).powi(2);
    }
    for (m, direction) in &flat.phasors {
        let seen = (u[m.node][m.phase] * Complex64::cis(-direction)).re;
        sum += 0.5 * m.weight * (m.value - seen).powi(2);
    }
    for m in &flat.flows {
        sum += 0.5 * m.weight * (m.value - flow_value(flat, m, u)).powi(2);
    }
    for (k, s) in injections(flat, u).iter().enumerate() {
        for p in 0..P {
            let [of_p, of_q] = flat.injections[k][p];
            for (g, s, l) in [
                (of_p, s[p].re, lambda[k][p].re),
                (of_q, s[p].im, lambda[k][p].im),
            ] {
                if g.variance < f64::INFINITY {
                    sum += l * (s - g.value) - 0.5 * g.variance * l * l;
                }
            }
        }
    }
    sum
}

fn perturbed(u: Complex64, part: usize, by: f64) -> Complex64 {
    match part {
        0 => u * by.exp(),
        _ => u * Complex64::from_polar(1.0, by),
    }
}

/// The residual is the gradient of the Lagrangian, at a state that is no solution.
fn residual_is_the_gradient<const P: usize, const B: usize>() {
    let Case { flat, u } = case::<P>(9, 3, 3.0, 11);
    let mut rng = StdRng::seed_from_u64(12);
    let mut solver = Augmented::<P, B>::new(flat.clone());
    solver.start(u.iter().copied());
    let lambda: Vec<[Complex64; P]> = (u.iter().enumerate())
        .map(|(k, _)| {
            std::array::from_fn(|_| match k {
                0 => ZERO,
                _ => Complex64::new(rng.random_range(-9.0..9.0), rng.random_range(-9.0..9.0)),
            })
        })
        .collect();
    for (k, lambda) in lambda.iter().enumerate() {
        let place = solver.ldl.place()[k];
        solver.lambda[place] = *lambda;
    }
    solver.evaluate();
    for k in 0..u.len() {
        let place = solver.ldl.place()[k];
        for p in 0..P {
            for part in 0..2 {
                let at = |by: f64| {
                    let mut moved = u.clone();
                    moved[k][p] = perturbed(u[k][p], part, by);
                    lagrangian(&flat, &moved, &lambda)
                };
                let numeric = (at(1e-6) - at(-1e-6)) / 2e-6;
                let found = -solver.rhs[place][2 * p + part];
                let fixed = k == 0 && part == 1;
                let expected = if fixed { 0.0 } else { numeric };
                let scale = 1.0 + expected.abs();
                assert!(
                    (found - expected).abs() < 2e-5 * scale,
                    "{k} {p} {part}: {found} {numeric}"
                );
                let at = |by: f64| {
                    let mut moved = lambda.clone();
                    match part {
                        0 => moved[k][p].re += by,
                        _ => moved[k][p].im += by,
                    }
                    lagrangian(&flat, &u, &moved)
                };
                let numeric = (at(1e-3) - at(-1e-3)) / 2e-3;
                let found = -solver.rhs[place][2 * P + 2 * p + part];
                assert!(
                    (found - numeric).abs() < 1e-6 * (1.0 + numeric.abs()),
                    "{found} {numeric}"
                );
            }
        }
    }
}

#[test]
fn residual_is_the_gradient_of_the_lagrangian() {
    residual_is_the_gradient::<1, 4>();
    residual_is_the_gradient::<3, 12>();
}

/// At exact data and no multipliers the Gauss-Newton matrix is the derivative of the residual.
fn matrix_is_the_derivative<const P: usize, const B: usize>() {
    let Case { flat, u } = case::<P>(12, 4, 0.0, 21);
    let mut rng = StdRng::seed_from_u64(22);
    let mut solver = Augmented::<P, B>::new(flat);
    solver.start(u.iter().copied());
    solver.evaluate();
    assert!(solver.rhs.as_flattened().iter().all(|r| r.abs() < 1e-7));
    solver.assemble();
    let direction: Vec<[f64; B]> = (0..u.len())
        .map(|_| std::array::from_fn(|_| rng.random_range(-1.0..1.0)))
        .collect();
    let known = |solver: &Augmented<P, B>, k: usize, i: usize| match i {
        _ if i >= 2 * P => solver.flat.injections[k][(i - 2 * P) / 2][i % 2].variance < 1e9,
        _ => i.is_multiple_of(2) || !solver.flat.fixed[k][i / 2].angle,
    };
    let at = |by: f64| {
        let mut moved = solver.clone();
        for (k, d) in direction.iter().enumerate() {
            for i in (0..B).filter(|&i| known(&solver, k, i)) {
                let (p, part) = ((i % (2 * P)) / 2, i % 2);
                if i < 2 * P {
                    moved.u[k][p] = perturbed(moved.u[k][p], part, by * d[i]);
                } else if part == 0 {
                    moved.lambda[k][p].re += by * d[i];
                } else {
                    moved.lambda[k][p].im += by * d[i];
                }
            }
        }
        moved.evaluate();
        moved.rhs
    };
    let (ahead, behind) = (at(1e-6), at(-1e-6));
    let only_known: Vec<[f64; B]> = (direction.iter().enumerate())
        .map(|(k, d)| std::array::from_fn(|i| if known(&solver, k, i) { d[i] } else { 0.0 }))
        .collect();
    let product = solver.ldl.product(&only_known);
    for k in 0..u.len() {
        for i in (0..B).filter(|&i| known(&solver, k, i)) {
            let numeric = (behind[k][i] - ahead[k][i]) / 2e-6;
            let found = product[k][i];
            let scale = 1.0 + numeric.abs();
            assert!(
                (found - numeric).abs() < 1e-4 * scale,
                "{k} {i}: {found} {numeric}"
            );
        }
    }
}

#[test]
fn matrix_is_the_derivative_of_the_residual() {
    matrix_is_the_derivative::<1, 4>();
    matrix_is_the_derivative::<3, 12>();
}

/// Everything but the reference moved.
fn off_by_a_little<const P: usize>(u: &[[Complex64; P]]) -> impl Iterator<Item = [Complex64; P]> {
    let moved = |k: usize| match k {
        0 => Complex64::ONE,
        _ => Complex64::from_polar(0.995, 0.004),
    };
    (u.iter().enumerate()).map(move |(k, u)| u.map(|u| u * moved(k)))
}

fn finds_the_optimum<const P: usize, const B: usize>(chords: usize, seed: u64) {
    // Exact data lead to the true state.
    let Case { flat, u } = case::<P>(60, chords, 0.0, seed);
    let mut solver = Augmented::<P, B>::new(flat);
    solver.start(off_by_a_little(&u));
    solver.fit(1e-10, 30).unwrap();
    for (k, u) in u.iter().enumerate() {
        for p in 0..P {
            assert!((solver.u(k)[p] - u[p]).norm() < 1e-9, "{k} {p}");
        }
    }
    // With noise it ends where the gradient vanishes, and each way to go costs.
    let Case { flat, u } = case::<P>(60, chords, 1.5, seed);
    let mut solver = Augmented::<P, B>::new(flat.clone());
    solver.start(off_by_a_little(&u));
    let outcome = solver.fit(1e-12, 30).unwrap();
    assert!(outcome.gradient_norm < 1e-4);
    solver.evaluate();
    let largest = (solver.rhs.as_flattened().iter()).fold(0.0_f64, |m, r| m.max(r.abs()));
    assert!(largest < 1e-4, "{largest}");
    // The factor stays good for new values.
    let Case { flat: other, .. } = case::<P>(60, chords, 1.4, seed);
    let values = |solver: &mut Augmented<P, B>, flat: &Flat<P>| {
        for (m, other) in solver.flat.flows.iter_mut().zip(&flat.flows) {
            m.value = other.value;
        }
    };
    values(&mut solver, &other);
    let outcome = solver.fit(1e-10, 30).unwrap();
    assert_eq!(outcome.factors, 0);
    let tracked: Vec<[Complex64; P]> = solver.u.clone();
    solver.start(u.iter().copied());
    solver.fit(1e-10, 30).unwrap();
    for (a, b) in tracked.as_flattened().iter().zip(solver.u.as_flattened()) {
        assert!((a - b).norm() < 1e-9);
    }
}

#[test]
fn finds_the_optimum_of_radial_and_meshed_networks() {
    for seed in 0..3 {
        for chords in [0, 15] {
            finds_the_optimum::<1, 4>(chords, seed);
            finds_the_optimum::<3, 12>(chords, seed);
        }
    }
}
