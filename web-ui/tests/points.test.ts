import { describe, expect, it } from 'vitest';
import type { PointView } from '../src/api/types';
import { filterPoints, valueText } from '../src/lib/points';

function point(id: string, value: PointView['value'], unit = '', quality: string[] = []): PointView {
  return { id, value, unit, quality, time: null, time_quality: null, received: null };
}

it.each([
  [point('a/p', 4_643_394, 'W'), '4.64 MW'],
  [point('a/e', 1_234_567, 'Wh'), '1\u2009234\u2009567 Wh'],
  [point('a/f', 49.98765, 'Hz'), '49.988 Hz'],
  [point('a/t', -3, ''), '−3'],
  [point('a/x', 0.25, '%'), '0.250 %'],
  [point('a/b', false), 'false'],
  [point('a/s', 'closed'), 'closed'],
  [point('a/n', null, 'W'), '–'],
])('%o reads well', (p, text) => expect(valueText(p)).toBe(text));

describe('filterPoints', () => {
  const points = [point('rtu8/bay1_p', 1, 'W'), point('rtu8/bay1_u', 1, 'V', ['old']), point('rtu81/bay1_p', 1, 'W')];
  const ids = (filter: Partial<Parameters<typeof filterPoints>[1]>): string[] =>
    filterPoints(points, { text: '', device: '', badOnly: false, ...filter }).map((p) => p.id);

  it('takes a device whole, not by its beginning', () => {
    expect(ids({ device: 'rtu8' })).toEqual(['rtu8/bay1_p', 'rtu8/bay1_u']);
  });

  it('wants every word, in any case', () => {
    expect(ids({ text: 'BAY1 _p' })).toEqual(['rtu8/bay1_p', 'rtu81/bay1_p']);
    expect(ids({ text: 'old' })).toEqual(['rtu8/bay1_u']);
  });

  it('finds what something speaks against', () => {
    expect(ids({ badOnly: true })).toEqual(['rtu8/bay1_u']);
  });
});
