/** The CIGRE medium-voltage benchmark as the API shows it: places from CIGRE TB 575's drawing. */
import type { NetworkView } from '../src/api/types';

const PLACES: [number, number][] = [
  [7, 0], [4, 1], [4, 3], [4, 5], [2.5, 7], [1, 9], [1, 13], [8, 13], [8, 11], [6, 11], [4, 11], [4, 9],
  [10, 1], [10, 5], [10, 11],
];

const LINES: [number, number, number][] = [
  [15, 1, 2], [16, 2, 3], [17, 3, 4], [18, 4, 5], [19, 5, 6], [20, 7, 8], [21, 8, 9], [22, 9, 10],
  [23, 10, 11], [24, 3, 8], [25, 12, 13], [26, 13, 14], [27, 6, 7], [28, 11, 4], [29, 14, 8],
];

const UNITS: [number, string, number][] = [
  [93, 'pv', 3], [94, 'pv', 4], [95, 'pv', 5], [96, 'pv', 6], [97, 'pv', 8], [98, 'pv', 9], [99, 'pv', 10],
  [100, 'pv', 11], [101, 'wind', 7], [102, 'fuel_cell', 5], [103, 'chp', 9], [104, 'fuel_cell', 9],
  [105, 'fuel_cell', 10], [106, 'battery', 5], [107, 'battery', 10],
  ...[1, 3, 4, 5, 6, 8, 10, 11, 12, 14, 1, 3, 7, 9, 10, 12, 13, 14].map(
    (node, k): [number, string, number] => [31 + k, 'load', node],
  ),
];

export const cigre: NetworkView = {
  nodes: PLACES.map(([x, y], id) => ({
    id,
    name: `Bus ${id}`,
    u_rated_v: id === 0 ? 110_000 : 20_000,
    u_min_pu: 0.95,
    u_max_pu: 1.05,
    x,
    y,
    source: id === 0,
  })),
  branches: [
    ...LINES.map(([id, from, to]) => ({ id, name: `Line ${from}-${to}`, kind: 'line', from, to, i_n_a: 145, s_n_va: null })),
    { id: 91, name: 'Transformer 1', kind: 'transformer', from: 0, to: 1, i_n_a: null, s_n_va: 25e6 },
    { id: 92, name: 'Transformer 2', kind: 'transformer', from: 0, to: 12, i_n_a: null, s_n_va: 25e6 },
  ],
  units: UNITS.map(([id, kind, node]) => ({
    id,
    name: `${kind} ${id}`,
    kind,
    node,
    participant: kind === 'load' ? 'retail' : 'prosumers',
    device: kind === 'load' ? null : `${kind}${id}`,
    p_rated_w: 100_000,
    q_rated_var: 48_400,
  })),
};
