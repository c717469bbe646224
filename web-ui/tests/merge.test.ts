import { describe, expect, it } from 'vitest';
import { backoff, mergeBy, mergeIntervals, mergeOrders, mergePoints } from '../src/lib/merge';

describe('mergeBy', () => {
  it('replaces in place and appends what is new', () => {
    const merged = mergeBy([{ id: 1, v: 'a' }, { id: 2, v: 'b' }], [{ id: 2, v: 'B' }, { id: 3, v: 'c' }], (e) => e.id);
    expect(merged).toEqual([{ id: 1, v: 'a' }, { id: 2, v: 'B' }, { id: 3, v: 'c' }]);
  });

  it('leaves what did not change the same object', () => {
    const kept = { id: 1 };
    expect(mergeBy([kept, { id: 2 }], [{ id: 2 }], (e) => e.id)[0]).toBe(kept);
  });
});

it('keeps points sorted by id', () => {
  expect(mergePoints([{ id: 'a/p' }, { id: 'c/p' }], [{ id: 'b/p' }]).map((p) => p.id)).toEqual(['a/p', 'b/p', 'c/p']);
});

describe('mergeIntervals', () => {
  const at = (s: number): { start: string } => ({ start: new Date(s * 1000).toISOString() });

  it('keeps the newest first', () => {
    expect(mergeIntervals([at(20), at(10)], [at(30)])).toEqual([at(30), at(20), at(10)]);
  });

  it('knows an interval by its moment, not its spelling', () => {
    const merged = mergeIntervals([{ start: '2026-11-22T08:00:00Z' }], [{ start: '2026-11-22T08:00:00.000Z' }]);
    expect(merged).toHaveLength(1);
  });

  it('forgets the oldest', () => {
    expect(mergeIntervals([at(2), at(1)], [at(3)], 2)).toEqual([at(3), at(2)]);
  });
});

it('waits longer after each failure, to a limit', () => {
  expect([0, 1, 2, 3, 4, 20].map(backoff)).toEqual([500, 1000, 2000, 4000, 8000, 8000]);
});

it('keeps orders newest first and not without end', () => {
  expect(mergeOrders([{ id: 2 }, { id: 1 }], [{ id: 3 }], 2)).toEqual([{ id: 3 }, { id: 2 }]);
});
