import { describe, expect, it } from 'vitest';
import type { HoldView, UnitView } from '../src/api/types';
import { holdsOf, readHold } from '../src/lib/holds';

const pv: UnitView = {
  id: 93,
  name: 'PV 3',
  kind: 'pv',
  node: 3,
  participant: 'prosumers',
  device: 'pv3',
  p_rated_w: 100_000,
  q_rated_var: 48_400,
};
const battery: UnitView = { ...pv, id: 106, kind: 'battery' };

describe('readHold', () => {
  it.each([
    [pv, { kw: '20', kvar: '', minutes: '15' }, { p_w: 20_000, q_var: 0, lasts_s: 900 }],
    [pv, { kw: ' 20,5 ', kvar: '-10', minutes: '0.5' }, { p_w: 20_500, q_var: -10_000, lasts_s: 30 }],
    [pv, { kw: '0', kvar: '0', minutes: '1440' }, { p_w: 0, q_var: 0, lasts_s: 86_400 }],
    [battery, { kw: '-100', kvar: '48.4', minutes: '1' }, { p_w: -100_000, q_var: 48_400, lasts_s: 60 }],
  ])('%# is taken', (unit, form, expected) => expect(readHold(unit, form)).toEqual(expected));

  it.each([
    [pv, { kw: '-1', kvar: '', minutes: '15' }, 'active power is 0 to 100 kW'],
    [pv, { kw: '101', kvar: '', minutes: '15' }, 'active power is 0 to 100 kW'],
    [pv, { kw: '', kvar: '', minutes: '15' }, 'active power is 0 to 100 kW'],
    [battery, { kw: '-101', kvar: '', minutes: '15' }, 'active power is -100 to 100 kW'],
    [pv, { kw: '1', kvar: '49', minutes: '15' }, 'reactive power is within ±48.4 kvar'],
    [pv, { kw: '1', kvar: 'x', minutes: '15' }, 'reactive power is within ±48.4 kvar'],
    [pv, { kw: '1', kvar: '', minutes: '0.1' }, 'it lasts 10 s to 1440 min'],
    [pv, { kw: '1', kvar: '', minutes: '1441' }, 'it lasts 10 s to 1440 min'],
    [pv, { kw: '1', kvar: '', minutes: '' }, 'it lasts 10 s to 1440 min'],
  ])('%# is refused', (unit, form, why) => expect(readHold(unit, form)).toBe(why));
});

describe('holdsOf', () => {
  const hold = (unit: number, origin: string, in_force: boolean): HoldView => ({
    unit,
    origin,
    in_force,
    by: 'user ada',
    p_w: 0,
    q_var: 0,
    until: '2026-06-21T12:00:00Z',
  });

  it('has those of the unit, the one in force first', () => {
    const holds = [hold(93, 'operator', false), hold(106, 'operator', true), hold(93, 'scada', true)];
    expect(holdsOf(holds, 93).map((h) => h.origin)).toEqual(['scada', 'operator']);
  });
});
