import { describe, expect, it } from 'vitest';
import type { IntervalView, OrderView } from '../src/api/types';
import { axis, bar, bindingUnit, callsOf, latestDecided, newClientId, openIntervals, phaseIndex, priceParts, readNumber, readOrder, stretch } from '../src/lib/market';
import { cigre } from './cigre';

function interval(start: number, phase: string, priced = false): IntervalView {
  const at = (s: number): string => new Date(s * 1000).toISOString();
  return {
    start: at(start),
    end: at(start + 10),
    gate_closure: at(start - 3),
    phase,
    status: null,
    message: null,
    orders: 0,
    cost_per_h: null,
    import_w: null,
    import_var: null,
    ac_check: null,
    took_us: null,
    prices: priced ? [{ node: 1, p_per_mwh: 40, q_per_mvarh: 0 }] : [],
    binding: [],
    awards: [],
    contracts: [],
    ahead: null,
    reactive: [],
    settlement: [],
    calls: [],
    corrections: [],
  };
}

describe('intervals', () => {
  const all = [interval(40, 'open'), interval(30, 'open'), interval(20, 'cleared', true), interval(10, 'delivering', true)];

  it('offers those whose gate is open, soonest first', () => {
    expect(openIntervals(all, 20_000).map((i) => i.start)).toEqual([all[1]?.start, all[0]?.start]);
    expect(openIntervals(all, 27_000)).toEqual([all[0]]);
  });

  it('shows the newest that was decided, a failure too', () => {
    expect(latestDecided(all)).toBe(all[2]);
    const failed = interval(25, 'failed');
    expect(latestDecided([interval(30, 'gate_closed'), failed, ...all])).toBe(failed);
    expect(latestDecided(all.slice(0, 2))).toBe(all[0]);
    expect(latestDecided([])).toBeUndefined();
  });

  it('orders the phases', () => {
    expect(phaseIndex('open')).toBe(0);
    expect(phaseIndex('settled')).toBe(5);
    expect(phaseIndex('failed')).toBe(-1);
  });
});

describe('bars', () => {
  it('start at zero, to the left for negative values', () => {
    const a = axis([-10, 30]);
    const negative = bar(-10, a);
    const positive = bar(30, a);
    expect(negative.left + negative.width).toBeCloseTo(positive.left);
    expect(positive.width / negative.width).toBeCloseTo(3);
    expect(positive.left + positive.width).toBeLessThan(1);
  });

  it('survive nothing and all zeros', () => {
    for (const values of [[], [0, 0]]) {
      expect(bar(0, axis(values))).toEqual({ left: 0, width: 0 });
    }
  });
});

describe('the order form', () => {
  const unit = cigre.units.find((u) => u.id === 93);
  const form = { unit, interval: '2026-11-22T08:00:00Z', direction: 'sell' as const, steps: [{ kw: '12,5', price: '30' }] };

  it('becomes an order in SI', () => {
    expect(readOrder(form, 'ui-1')).toEqual({
      client_id: 'ui-1',
      node: 3,
      unit: 93,
      participant: 'prosumers',
      interval: '2026-11-22T08:00:00Z',
      direction: 'sell',
      steps: [{ quantity_w: 12_500, price_per_mwh: 30 }],
    });
  });

  it('leaves the judgement of a negative quantity to the server', () => {
    expect(readOrder({ ...form, steps: [{ kw: '-5', price: '30' }] }, 'ui-1')).toMatchObject({ steps: [{ quantity_w: -5000 }] });
  });

  it('names what cannot be read', () => {
    expect(readOrder({ ...form, steps: [{ kw: 'ten', price: '1' }] }, 'x')).toContain('step 1: the quantity “ten”');
    expect(readOrder({ ...form, steps: [{ kw: '1', price: '' }] }, 'x')).toContain('the price “”');
    expect(readOrder({ ...form, unit: undefined }, 'x')).toBe('choose a unit');
    expect(readOrder({ ...form, interval: '' }, 'x')).toBe('no interval is open for orders');
  });

  it('reads numbers as people write them', () => {
    expect(['1', ' 1.5 ', '−2', '1,25', '+3', '1e3', '.5'].map(readNumber)).toEqual([1, 1.5, -2, 1.25, 3, 1000, 0.5]);
    expect(['', 'NaN', 'Infinity', '1e999', '0x10', '1 000', '1.2.3'].map(readNumber)).toEqual(Array(7).fill(null));
  });
});

it('names the unit of each kind of limit', () => {
  expect(['u_max', 'u_min', 'current', 'apparent', 'import'].map(bindingUnit)).toEqual(['pu', 'pu', 'A', 'VA', 'W']);
});

it('makes client ids of random bytes', () => {
  expect(newClientId(new Uint8Array([0, 255, 16]))).toBe('ui-00ff10');
});

describe('what a price is made of', () => {
  const relief = { unit: 'A', worth_per_h: 1 };
  const limit = (text: string, per_mwh: number) => ({
    text, per_mwh, relief, behind: null, bound: 1, value: 1, share: 1, kind: 'current' as const, element: 1, side: null,
  });

  it('is laid end to end, so that the last part ends at the price', () => {
    const price = { per_mwh: 30, energy_per_mwh: 40, loss_per_mwh: 2, rest_per_mwh: 0 };
    const parts = priceParts({ price, limits: [limit('line 1', -15), limit('node 2', 3)] });
    expect(parts.map((p) => p.name)).toEqual(['energy', 'losses', 'line 1', 'node 2']);
    expect(parts.map((p) => [p.from, p.to])).toEqual([[0, 40], [40, 42], [42, 27], [27, 30]]);
  });

  it('names a rest only where there is one', () => {
    const price = { per_mwh: 41, energy_per_mwh: 40, loss_per_mwh: 0, rest_per_mwh: 1 };
    expect(priceParts({ price, limits: [] }).at(-1)).toEqual({ name: 'not explained', value: 1, from: 40, to: 41 });
  });

  it('lies on the axis wherever it begins', () => {
    expect(stretch(42, 27, { low: 0, high: 50 })).toEqual({ left: 0.54, width: 0.3 });
    expect(stretch(-5, 5, { low: -10, high: 10 })).toEqual({ left: 0.25, width: 0.5 });
  });
});

describe('calls', () => {
  const call = (id: number, unit: number, at: number, end: number | null): OrderView => ({
    id,
    client_id: String(id),
    participant: 'grid',
    unit,
    node: 1,
    interval: new Date(at * 1000).toISOString(),
    direction: 'sell',
    kind: {
      of: 'call',
      p_min_w: null,
      p_max_w: 1000,
      compensation_per_mwh: 5,
      end: end === null ? null : new Date(end * 1000).toISOString(),
    },
    steps: [],
    must: false,
    counterparty: null,
    placed_by: 'api',
    state: 'accepted',
    awarded_w: null,
    taken_wh: null,
    receipt: null,
  });

  it('are those of the interval, however long they last, with what came of them', () => {
    const of = interval(20, 'cleared');
    of.awards = [{ unit: 7, p_w: 1000, q_var: 0, offered_w: 5000, bid_w: 0, energy_wh: 3 }];
    // 9 Wh less in 10 s are 3240 W.
    const paid = { order: 2, caller: 'grid', account: 'sun', unit: 7, node: 1, energy_wh: -9, compensation_per_mwh: 5, received_micro: 45 };
    of.calls = [paid];
    const orders = [call(1, 9, 20, null), call(2, 7, 10, 30), call(3, 5, 10, 20), call(4, 5, 30, null)];
    const gone = { ...call(5, 5, 20, null), state: 'cancelled' as const };
    const found = callsOf(of, [...orders, gone]);
    expect(found.map((c) => c.order.id)).toEqual([2, 1]);
    expect(found[0]).toMatchObject({ paid, power: { now: 1000, without: 4240 } });
    expect(found[1]).toMatchObject({ paid: undefined, power: undefined });
  });
});
