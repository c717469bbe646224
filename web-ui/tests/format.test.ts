import { describe, expect, it } from 'vitest';
import { count, dateTime, duration, fixed, micros, money, NONE, percent, secondsLeft, si, timeOfDay } from '../src/lib/format';

describe('si', () => {
  it.each([
    [4_643_394, 'W', '4.64 MW'],
    [-2_528_903, 'var', '−2.53 Mvar'],
    [100_000, 'W', '100 kW'],
    [48_356, 'var', '48.4 kvar'],
    [999.6, 'W', '1.00 kW'],
    [999_700, 'W', '1.00 MW'],
    [145, 'A', '145 A'],
    [12.34, 'A', '12.3 A'],
    [3.21, 'A', '3.2 A'],
    [20_000, 'V', '20.0 kV'],
    [0, 'W', '0 W'],
    [-0.001, 'W', '0.0 W'],
  ])('%s %s is %s', (value, unit, text) => expect(si(value, unit)).toBe(text));

  it('shows what is absent as a dash', () => {
    expect(si(null, 'W')).toBe(NONE);
    expect(si(undefined, 'W')).toBe(NONE);
    expect(si(Number.NaN, 'W')).toBe(NONE);
    expect(fixed(Number.POSITIVE_INFINITY, 2)).toBe(NONE);
    expect(percent(null)).toBe(NONE);
  });
});

describe('money', () => {
  it.each([
    [0, '0.00 EUR'],
    [1_250_000, '1.25 EUR'],
    [-1_250_001, '−1.250001 EUR'],
    [999, '0.000999 EUR'],
    [1_234_567_890_000, '1\u2009234\u2009567.89 EUR'],
  ])('%s micro is %s', (micro, text) => expect(money(micro, 'EUR')).toBe(text));
});

it('counts', () => {
  expect([0, 1, 12_345].map((n) => count(n, 'order'))).toEqual(['0 orders', '1 order', '12\u2009345 orders']);
});

describe('times', () => {
  it.each([
    [400, '0.4 s'],
    [9_960, '10 s'],
    [59_000, '59 s'],
    [185_000, '3 min 05 s'],
    [7_800_000, '2 h 10 min'],
    [273_600_000, '3 d 4 h'],
    [-5, '0.0 s'],
  ])('%s ms is %s', (ms, text) => expect(duration(ms)).toBe(text));

  it('speaks UTC when asked to', () => {
    expect(timeOfDay('2026-11-22T08:05:09.750Z', 'utc')).toBe('08:05:09');
    expect(dateTime('2026-11-22T23:59:59+01:00', 'utc')).toBe('2026-11-22 22:59:59');
    expect(timeOfDay('nonsense', 'utc')).toBe(NONE);
    expect(timeOfDay(null, 'utc')).toBe(NONE);
  });

  it('counts down in whole seconds and stops at zero', () => {
    const now = Date.parse('2026-11-22T08:00:00Z');
    expect(secondsLeft('2026-11-22T08:00:03.2Z', now)).toBe(4);
    expect(secondsLeft('2026-11-22T07:59:00Z', now)).toBe(0);
    expect(secondsLeft(null, now)).toBeNull();
  });

  it('scales microseconds', () => {
    expect(micros(840)).toBe('840 µs');
    expect(micros(4_210)).toBe('4.2 ms');
    expect(micros(125_000)).toBe('125 ms');
    expect(micros(2_500_000)).toBe('2.5 s');
  });
});
