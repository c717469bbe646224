/**
 * Orthogonal routes between busbars: a handful of candidate shapes for each branch, of which the
 * one wins that crosses nothing, then the fewest lines, then is shortest. Enough for feeders of a
 * few hundred nodes, and the same drawing every time.
 */

export interface Point {
  x: number;
  y: number;
}

export interface Rect {
  x1: number;
  x2: number;
  y1: number;
  y2: number;
}

/** A bar a route starts or ends at. */
export interface Bar {
  node: { id: number };
  x1: number;
  x2: number;
  spine: number;
  y: number;
}

/** Distance of a horizontal stretch above a bar, clear of its labels. */
const ABOVE = 34;
/** Distance between bar ends and the slots of branches leaving them. */
const SLOT = 12;

/**
 * Finds the route `from` → `to`. `drawn` holds the routes so far; `slots` counts what already
 * leaves each side of each bar and is updated.
 */
export function route(
  from: Bar,
  to: Bar,
  obstacles: ReadonlyMap<number, Rect>,
  drawn: readonly Point[][],
  slots: Map<string, number>,
): Point[] {
  const downwards = from.y <= to.y;
  const [upper, lower] = downwards ? [from, to] : [to, from];
  const candidates = upper.y === lower.y ? level(upper, lower) : falling(upper, lower, obstacles, slots);
  let best: Point[] = [];
  let bestCost = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const cost = price(candidate, upper.node.id, lower.node.id, obstacles, drawn);
    if (cost < bestCost) [best, bestCost] = [candidate, cost];
  }
  return downwards ? best : best.toReversed();
}

/** Bars of one row: straight from end to end, or under what lies between. */
function level(a: Bar, b: Bar): Point[][] {
  const [left, right] = a.spine <= b.spine ? [a, b] : [b, a];
  const y = left.y;
  const straight = [
    { x: left.x2, y },
    { x: right.x1, y },
  ];
  const around = [82, 94].map((depth) => [
    { x: left.x2 - 4, y },
    { x: left.x2 - 4, y: y + depth },
    { x: right.x1 + 4, y: y + depth },
    { x: right.x1 + 4, y },
  ]);
  const all = [straight, ...around];
  return left === a ? all : all.map((points) => points.toReversed());
}

/** From the underside of the upper bar to the top of the lower one. */
function falling(
  upper: Bar,
  lower: Bar,
  obstacles: ReadonlyMap<number, Rect>,
  slots: Map<string, number>,
): Point[][] {
  if (Math.abs(upper.spine - lower.spine) < 1) {
    return [[{ x: upper.spine, y: upper.y }, { x: upper.spine, y: lower.y }]];
  }
  const side = lower.spine < upper.spine ? 'left' : 'right';
  const leave = slotOf(slots, upper, `${side} below`);
  const x = side === 'left' ? upper.x1 + SLOT / 2 + leave * 14 : upper.x2 - SLOT / 2 - leave * 14;
  const enter = slotOf(slots, lower, 'above');
  const xEnd = lower.spine + (enter === 0 ? 0 : (side === 'left' ? 1 : -1) * 20 * enter);
  const below = (obstacles.get(upper.node.id)?.y2 ?? upper.y) + 8;
  const above = lower.y - ABOVE;
  const heights = [below, above, above - 10, below + 10, (below + above) / 2];
  return heights
    .filter((y) => y > upper.y && y < lower.y)
    .map((y) => [
      { x, y: upper.y },
      { x, y },
      { x: xEnd, y },
      { x: xEnd, y: lower.y },
    ]);
}

function slotOf(slots: Map<string, number>, bar: Bar, side: string): number {
  const key = `${bar.node.id} ${side}`;
  const used = slots.get(key) ?? 0;
  slots.set(key, used + 1);
  return used;
}

function price(
  points: readonly Point[],
  fromId: number,
  toId: number,
  obstacles: ReadonlyMap<number, Rect>,
  drawn: readonly Point[][],
): number {
  let cost = 0;
  for (const [a, b] of stretches(points)) {
    cost += Math.abs(a.x - b.x) + Math.abs(a.y - b.y);
    for (const [id, rect] of obstacles) {
      if (id !== fromId && id !== toId && meets(a, b, rect)) cost += 10_000;
    }
    for (const other of drawn) {
      for (const [c, d] of stretches(other)) {
        if (meets(a, b, boundsOf(c, d))) cost += parallel(a, b, c, d) ? 3_000 : 400;
      }
    }
  }
  return cost;
}

/** Consecutive pairs of a polyline. */
export function stretches(points: readonly Point[]): [Point, Point][] {
  return points.slice(1).flatMap((b, k): [Point, Point][] => {
    const a = points[k];
    return a ? [[a, b]] : [];
  });
}

/** Whether an axis-parallel stretch touches a rectangle. */
export function meets(a: Point, b: Point, rect: Rect): boolean {
  const s = boundsOf(a, b);
  return s.x1 <= rect.x2 && s.x2 >= rect.x1 && s.y1 <= rect.y2 && s.y2 >= rect.y1;
}

function boundsOf(a: Point, b: Point): Rect {
  return { x1: Math.min(a.x, b.x), x2: Math.max(a.x, b.x), y1: Math.min(a.y, b.y), y2: Math.max(a.y, b.y) };
}

function parallel(a: Point, b: Point, c: Point, d: Point): boolean {
  return (a.x === b.x) === (c.x === d.x);
}
