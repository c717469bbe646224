import { expect, it } from 'vitest';
import type { NetworkState, RejectedView } from '../src/api/types';
import { deviceOf, extremes, same, summarise, suspects, worst } from '../src/lib/feeder';
import { cigre } from './cigre';

const state: NetworkState = {
  time: '2026-11-22T08:00:00Z',
  estimate: {
    ok: true, error: null, objective: 1, threshold: 2, degrees_of_freedom: 3, metered: 4, pseudo: 5, iterations: 6, took_us: 7,
  },
  nodes: [
    [0, 1.09, true], [1, 1.01, true], [2, 1.04, true], [3, 0.2, false],
  ].map(([id, u, energised]) => ({
    id: id as number, u_pu: u as number, angle_deg: 0, sigma_pu: 0, observable: true, energised: energised as boolean,
  })),
  branches: [
    { id: 91, p_from_w: 1_000, q_from_var: 10, i_a: 1, loading: 0.5, closed: true },
    { id: 92, p_from_w: -3_000, q_from_var: 20, i_a: 1, loading: 0.6, closed: true },
    { id: 27, p_from_w: 0, q_from_var: 0, i_a: 0, loading: 9, closed: false },
  ],
  units: [
    { id: 93, p_w: 500, q_var: 0, origin: 'metered', soc: null },
    { id: 106, p_w: -100, q_var: 0, origin: 'metered', soc: null },
    { id: 31, p_w: -900, q_var: 0, origin: 'pseudo', soc: null },
  ],
  rejected: [],
  loss_w: 1,
};

it('adds up exchange, generation and load', () => {
  const feeder = summarise(cigre, state);
  expect(feeder.importW).toBe(-2_000);
  expect(feeder.importVar).toBe(30);
  expect(feeder.generationW).toBe(400);
  expect(feeder.loadW).toBe(900);
});

it('finds the extremes among what is alive, the source aside', () => {
  const feeder = summarise(cigre, state);
  expect(feeder.highest?.id).toBe(2);
  expect(feeder.lowest?.id).toBe(1);
  expect(feeder.fullest?.id).toBe(92);
});

it('looks at each phase of a node that has them', () => {
  const phase = (name: string, u_pu: number) => ({ phase: name, u_pu, sigma_pu: 0, observable: true });
  const [source, first, ...rest] = state.nodes;
  const phases = [phase('a', 0.97), phase('b', 1.05), phase('c', 1.01)];
  const split = { ...first!, phases };
  expect(extremes(split)).toEqual({ low: 0.97, high: 1.05 });
  expect(worst(split, 0.95, 1.05)).toBe(1.05);
  expect(worst(split, 0.98, 1.1)).toBe(0.97);
  expect(extremes(first!)).toEqual({ low: 1.01, high: 1.01 });
  const feeder = summarise(cigre, { ...state, nodes: [source!, split, ...rest] });
  expect([feeder.highest?.id, feeder.lowest?.id]).toEqual([1, 1]);
});

it('finds the device of a point', () => {
  expect(deviceOf('rtu8/bay2_p')).toBe('rtu8');
  expect(deviceOf('odd')).toBe('odd');
});

it('compares selections', () => {
  expect(same({ type: 'node', id: 1 }, { type: 'node', id: 1 })).toBe(true);
  expect(same({ type: 'node', id: 1 }, { type: 'branch', id: 1 })).toBe(false);
  expect(same(null, { type: 'node', id: 1 })).toBe(false);
});

it('marks the element that a bad measurement is of, and no other of that number', () => {
  const bad: RejectedView = {
    point: 'rtu8/bay2_p', measures: 'branch', element: 17, measured: 1, estimated: -1, normalised_residual: 9,
    reason: 'sign_flipped', text: 'sign flipped', since: '2026-11-22T08:00:00Z',
  };
  expect(suspects([bad], 'branch', [3, 17])).toBe(true);
  expect(suspects([bad], 'branch', [3])).toBe(false);
  expect(suspects([bad], 'node', [17])).toBe(false);
  expect(suspects(undefined, 'branch', [17])).toBe(false);
});
