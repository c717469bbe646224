/** Figures of the feeder as a whole, out of the network and its estimated state. */
import type { BranchState, NetworkState, NetworkView, NodeState, RejectedView, UnitState } from '../api/types';

export interface Feeder {
  /** Power from the grid above, import-positive. */
  importW: number;
  importVar: number;
  generationW: number;
  loadW: number;
  lowest: NodeState | undefined;
  highest: NodeState | undefined;
  fullest: BranchState | undefined;
}

/** Lowest and highest voltage of a node: of its phases, where they are estimated one by one. */
export function extremes(node: NodeState): { low: number; high: number } {
  const phases = node.phases?.length ? node.phases.map((phase) => phase.u_pu) : [node.u_pu];
  return { low: Math.min(...phases), high: Math.max(...phases) };
}

/** The voltage of a node that is nearest to a limit, or furthest beyond one. */
export function worst(node: NodeState, min: number, max: number): number {
  const { low, high } = extremes(node);
  return high - max > min - low ? high : low;
}

/** Sums and extremes; nodes without voltage and open branches do not count. */
export function summarise(network: NetworkView, state: NetworkState): Feeder {
  const sources = new Set(network.nodes.filter((n) => n.source).map((n) => n.id));
  const flows = new Map(state.branches.map((b) => [b.id, b]));
  let [importW, importVar] = [0, 0];
  for (const branch of network.branches) {
    const flow = flows.get(branch.id);
    if (!flow || !sources.has(branch.from)) continue;
    importW += flow.p_from_w;
    importVar += flow.q_from_var;
  }
  const loads = new Set(network.units.filter((u) => u.kind === 'load').map((u) => u.id));
  const nodes = state.nodes.filter((n) => n.energised && !sources.has(n.id));
  const by = <T>(list: T[], key: (t: T) => number): T | undefined =>
    list.reduce<T | undefined>((best, t) => (best === undefined || key(t) > key(best) ? t : best), undefined);
  return {
    importW,
    importVar,
    generationW: sum(state.units.filter((u) => !loads.has(u.id))),
    loadW: -sum(state.units.filter((u) => loads.has(u.id))),
    lowest: by(nodes, (n) => -extremes(n).low),
    highest: by(nodes, (n) => extremes(n).high),
    fullest: by(state.branches.filter((b) => b.closed), (b) => b.loading),
  };
}

function sum(units: UnitState[]): number {
  return units.reduce((total, u) => total + u.p_w, 0);
}

/** Whether a measurement of one of these elements is not believed. */
export function suspects(
  rejected: readonly RejectedView[] | undefined,
  measures: 'node' | 'branch' | 'unit',
  ids: readonly number[],
): boolean {
  return rejected?.some((r) => r.measures === measures && ids.includes(r.element)) ?? false;
}

/** Device a point belongs to: the part of its id before the slash. */
export function deviceOf(point: string): string {
  return point.split('/', 1)[0] ?? point;
}


export type Selection = { type: 'node' | 'branch'; id: number } | { type: 'units'; ids: number[] };

/** Whether two selections mean the same element. */
export function same(a: Selection | null, b: Selection | null): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
