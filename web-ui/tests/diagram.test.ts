import { describe, expect, it } from 'vitest';
import { groupUnits, layout, middle } from '../src/lib/diagram';
import { meets, type Rect, stretches } from '../src/lib/routing';
import { cigre } from './cigre';

const drawing = layout(cigre);
const byId = new Map(drawing.nodes.map((n) => [n.node.id, n]));

describe('the CIGRE feeder', () => {
  it('has every node, branch and unit', () => {
    expect(drawing.nodes).toHaveLength(15);
    expect(drawing.branches).toHaveLength(17);
    expect(drawing.units.flatMap((u) => u.ids)).toHaveLength(33);
  });

  it('keeps the bars of a row apart', () => {
    for (const a of drawing.nodes) {
      for (const b of drawing.nodes) {
        if (a.y === b.y && a.x1 < b.x1) expect(b.x1 - a.x2).toBeGreaterThan(30);
      }
    }
  });

  it('keeps symbols on their own bar and apart', () => {
    for (const unit of drawing.units) {
      const bar = byId.get(unit.node);
      expect(unit.x).toBeGreaterThanOrEqual(bar?.x1 ?? Number.NaN);
      expect(unit.x).toBeLessThanOrEqual(bar?.x2 ?? Number.NaN);
    }
    const xs = drawing.units.filter((u) => u.node === 10).map((u) => u.x);
    expect(Math.min(...xs.slice(1).map((x, k) => x - (xs[k] ?? 0)))).toBeGreaterThan(40);
  });

  it('joins every branch to both its bars with axis-parallel stretches', () => {
    for (const { branch, points } of drawing.branches) {
      const [first, last] = [points[0], points.at(-1)];
      expect(first?.y).toBe(byId.get(branch.from)?.y);
      expect(last?.y).toBe(byId.get(branch.to)?.y);
      for (const [a, b] of stretches(points)) expect(a.x === b.x || a.y === b.y).toBe(true);
    }
  });

  it('leads no branch through a busbar or unit it does not belong to', () => {
    for (const { branch, points } of drawing.branches) {
      for (const n of drawing.nodes) {
        if (n.node.id === branch.from || n.node.id === branch.to) continue;
        const bar: Rect = { x1: n.x1, x2: n.x2, y1: n.y - 3, y2: n.y + 60 };
        for (const [a, b] of stretches(points)) {
          expect(meets(a, b, bar), `branch ${branch.id} meets node ${n.node.id}`).toBe(false);
        }
      }
    }
  });

  it('stays within its frame', () => {
    for (const { points } of drawing.branches) {
      for (const p of points) {
        expect(p.x).toBeGreaterThan(0);
        expect(p.x).toBeLessThan(drawing.width);
        expect(p.y).toBeGreaterThan(0);
        expect(p.y).toBeLessThan(drawing.height);
      }
    }
  });
});

it('gathers the loads of a node under one symbol', () => {
  const at10 = groupUnits(cigre.units).filter((g) => g.node === 10);
  expect(at10.map((g) => g.kind)).toEqual(['load', 'pv', 'fuel_cell', 'battery']);
  expect(at10[0]?.ids).toHaveLength(2);
});

it('survives a network of nothing, of one node, and a branch to nowhere', () => {
  expect(layout({ nodes: [], branches: [], units: [] }).branches).toEqual([]);
  const node = cigre.nodes[3];
  const branch = cigre.branches[0];
  if (!node || !branch) throw new Error('the case lacks a node or branch');
  expect(layout({ nodes: [node], branches: [branch], units: [] }).branches).toEqual([]);
});

it('finds the middle of the longest stretch and its direction', () => {
  expect(middle([{ x: 0, y: 0 }, { x: 0, y: 10 }, { x: -40, y: 10 }])).toEqual({ mid: { x: -20, y: 10 }, angle: 180 });
});
