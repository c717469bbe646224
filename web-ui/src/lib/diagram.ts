/**
 * Layout of the single-line diagram: busbars as horizontal bars in rows, generators, batteries and
 * loads hanging below them, branches as orthogonal lines between. Every node's place comes from
 * the site file in grid units; rows are pulled together to what they hold.
 */
import type { BranchView, NetworkView, NodeView, UnitView } from '../api/types';
import { type Point, type Rect, route } from './routing';

/** Units at a node that share one symbol: all its loads, or a single unit of another kind. */
export interface UnitGroup {
  key: string;
  kind: string;
  node: number;
  ids: number[];
  name: string;
  /** Centre of the symbol. */
  x: number;
  y: number;
}

export interface NodeShape {
  node: NodeView;
  /** Ends of the bar. */
  x1: number;
  x2: number;
  /** Where vertical lines meet the bar. */
  spine: number;
  y: number;
}

export interface BranchShape {
  branch: BranchView;
  points: Point[];
  /** Middle of the longest stretch: arrow, value and switch are drawn there. */
  mid: Point;
  /** Direction from → to at `mid`, degrees clockwise from right: 0, 90, 180 or 270. */
  angle: number;
}

export interface Diagram {
  nodes: NodeShape[];
  branches: BranchShape[];
  units: UnitGroup[];
  width: number;
  height: number;
}

/** Space a unit's symbol takes along the bar. */
const UNIT_PITCH = 54;
/** Distance of a symbol's centre below the bar. */
export const UNIT_DROP = 34;
const HALF_BAR = 46;
const ROW_PLAIN = 92;
const ROW_UNITS = 150;
const ROW_GAP_X = 56;
const MARGIN_X = 36;
const MARGIN_TOP = 74;
const MARGIN_BOTTOM = 84;

/** Lays the network out. Nodes at the same place are nudged apart by their bars' widths only. */
export function layout(network: NetworkView): Diagram {
  const groups = groupUnits(network.units);
  const sides = new Map(network.nodes.map((n) => [n.id, attachments(n, network, groups)]));
  const nodes = placeNodes(network.nodes, sides);
  const byId = new Map(nodes.map((n) => [n.node.id, n]));
  const units = nodes.flatMap((n) => placeUnits(n, sides.get(n.node.id)));
  const obstacles = new Map(nodes.map((n) => [n.node.id, boxOf(n, sides.get(n.node.id))]));
  const branches = routeAll(network.branches, byId, obstacles);
  const right = Math.max(...nodes.map((n) => n.x2), 0) + MARGIN_X;
  const bottom = Math.max(...nodes.map((n) => n.y), 0) + MARGIN_BOTTOM;
  return { nodes, branches, units, width: right, height: bottom };
}

/** Loads of a node share a symbol; everything else has its own. */
export function groupUnits(units: readonly UnitView[]): UnitGroup[] {
  const groups = new Map<string, UnitGroup>();
  for (const unit of units) {
    const key = unit.kind === 'load' ? `load@${unit.node}` : `unit${unit.id}`;
    const group = groups.get(key);
    if (group) {
      group.ids.push(unit.id);
      group.name = `${group.ids.length} loads`;
    } else {
      groups.set(key, { key, kind: unit.kind, node: unit.node, ids: [unit.id], name: unit.name, x: 0, y: 0 });
    }
  }
  // Loads first: they hang at the same place of every bar.
  return [...groups.values()].sort((a, b) => Number(b.kind === 'load') - Number(a.kind === 'load'));
}

interface Sides {
  groups: UnitGroup[];
  /** A branch leaves straight down from the middle, so units stay clear of it. */
  spineBelow: boolean;
  /** Branches leaving downwards to the left and to the right. */
  left: number;
  right: number;
}

function attachments(node: NodeView, network: NetworkView, groups: UnitGroup[]): Sides {
  const sides: Sides = {
    groups: groups.filter((g) => g.node === node.id),
    spineBelow: false,
    left: 0,
    right: 0,
  };
  for (const other of neighbours(node, network)) {
    if (other.y <= node.y) continue;
    if (other.x === node.x) sides.spineBelow = true;
    else if (other.x < node.x) sides.left += 1;
    else sides.right += 1;
  }
  return sides;
}

function neighbours(node: NodeView, network: NetworkView): NodeView[] {
  return network.branches.flatMap((b) => {
    const id = b.from === node.id ? b.to : b.to === node.id ? b.from : undefined;
    return network.nodes.filter((n) => n.id === id);
  });
}

/** Offsets from the spine: of each unit, and of the bar's two ends. */
function spread(sides: Sides | undefined): { units: number[]; x1: number; x2: number } {
  const count = sides?.groups.length ?? 0;
  const units: number[] = [];
  const leftCount = Math.floor(count / 2);
  const gap = sides?.spineBelow ? UNIT_PITCH * 0.62 : UNIT_PITCH / 2;
  if (!sides?.spineBelow && count % 2 === 1) {
    for (let k = 0; k < count; k += 1) units.push((k - (count - 1) / 2) * UNIT_PITCH);
  } else {
    for (let k = leftCount - 1; k >= 0; k -= 1) units.push(-gap - k * UNIT_PITCH);
    for (let k = 0; k < count - leftCount; k += 1) units.push(gap + k * UNIT_PITCH);
  }
  const half = UNIT_PITCH / 2 - 3;
  const x1 = Math.min(-HALF_BAR, (units[0] ?? 0) - half) - 16 * (sides?.left ?? 0);
  const x2 = Math.max(HALF_BAR, (units.at(-1) ?? 0) + half) + 16 * (sides?.right ?? 0);
  return { units, x1, x2 };
}

function placeNodes(nodes: readonly NodeView[], sides: Map<number, Sides>): NodeShape[] {
  const extents = new Map(nodes.map((n) => [n.id, spread(sides.get(n.id))]));
  const extent = (n: NodeView): { x1: number; x2: number } => extents.get(n.id) ?? { x1: 0, x2: 0 };
  const pitch = columnPitch(nodes, extent);
  const rows = rowTops(nodes, sides);
  const left = Math.min(...nodes.map((n) => n.x * pitch + extent(n).x1)) - MARGIN_X;
  return nodes.map((node) => {
    const spine = node.x * pitch - left;
    const e = extent(node);
    return { node, spine, x1: spine + e.x1, x2: spine + e.x2, y: rows.get(node.y) ?? 0 };
  });
}

/** Pixels per grid unit across, so that no two bars of a row touch. */
function columnPitch(nodes: readonly NodeView[], extent: (n: NodeView) => { x1: number; x2: number }): number {
  let pitch = 136;
  for (const a of nodes) {
    for (const b of nodes) {
      if (a.y !== b.y || b.x <= a.x) continue;
      pitch = Math.max(pitch, (extent(a).x2 - extent(b).x1 + ROW_GAP_X) / (b.x - a.x));
    }
  }
  return Math.min(pitch, 400);
}

/** Height of each distinct `y` of the site file: as much below each row as what hangs there needs. */
function rowTops(nodes: readonly NodeView[], sides: Map<number, Sides>): Map<number, number> {
  const rows = [...new Set(nodes.map((n) => n.y))].sort((a, b) => a - b);
  const tops = new Map<number, number>();
  let top = MARGIN_TOP;
  for (const row of rows) {
    tops.set(row, top);
    const hangs = nodes.some((n) => n.y === row && (sides.get(n.id)?.groups.length ?? 0) > 0);
    top += hangs ? ROW_UNITS : ROW_PLAIN;
  }
  return tops;
}

function placeUnits(shape: NodeShape, sides: Sides | undefined): UnitGroup[] {
  const { units } = spread(sides);
  return (sides?.groups ?? []).map((group, k) => ({
    ...group,
    x: shape.spine + (units[k] ?? 0),
    y: shape.y + UNIT_DROP,
  }));
}

/** What branches must not cross: the bar, its labels above and what hangs below. */
function boxOf(shape: NodeShape, sides: Sides | undefined): Rect {
  const depth = (sides?.groups.length ?? 0) > 0 ? UNIT_DROP + 34 : 6;
  return { x1: shape.x1, x2: shape.x2, y1: shape.y - 22, y2: shape.y + depth };
}

function routeAll(
  branches: readonly BranchView[],
  nodes: Map<number, NodeShape>,
  obstacles: Map<number, Rect>,
): BranchShape[] {
  const slots = new Map<string, number>();
  const drawn: Point[][] = [];
  // Straight ones first: they have no choice.
  const straightness = (b: BranchView): number => {
    const [f, t] = [nodes.get(b.from)?.node, nodes.get(b.to)?.node];
    return f && t && (f.x === t.x || f.y === t.y) ? 0 : 1;
  };
  const shapes = new Map<number, BranchShape>();
  for (const branch of branches.toSorted((a, b) => straightness(a) - straightness(b))) {
    const from = nodes.get(branch.from);
    const to = nodes.get(branch.to);
    if (!from || !to) continue;
    const points = route(from, to, obstacles, drawn, slots);
    drawn.push(points);
    shapes.set(branch.id, { branch, points, ...middle(clear(points, from, to, obstacles)) });
  }
  return branches.flatMap((b) => shapes.get(b.id) ?? []);
}

/** The route without the ends that run beside a bar's units and labels: room for its own. */
function clear(points: Point[], from: NodeShape, to: NodeShape, obstacles: Map<number, Rect>): Point[] {
  const straightDown = points.length === 2 && points[0]?.x === points[1]?.x;
  if (!straightDown) return points;
  return points.map((p) => {
    const bar = p.y === from.y ? from : to;
    const box = obstacles.get(bar.node.id);
    const isUpper = bar.y === Math.min(from.y, to.y);
    return { x: p.x, y: (isUpper ? box?.y2 : box?.y1) ?? p.y };
  });
}

/** Middle of the longest stretch of a polyline, and the direction there. */
export function middle(points: readonly Point[]): { mid: Point; angle: number } {
  let best = -1;
  let found = { mid: { x: 0, y: 0 }, angle: 0 };
  for (let k = 1; k < points.length; k += 1) {
    const [a, b] = [points[k - 1], points[k]];
    if (!a || !b) continue;
    const length = Math.abs(b.x - a.x) + Math.abs(b.y - a.y);
    if (length <= best) continue;
    best = length;
    const angle = a.y === b.y ? (b.x >= a.x ? 0 : 180) : b.y > a.y ? 90 : 270;
    found = { mid: { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 }, angle };
  }
  return found;
}
