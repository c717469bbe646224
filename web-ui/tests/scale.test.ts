import { describe, expect, it } from 'vitest';
import { gradient, loadingColour, loadingWidth, rangeColour, signedColour, voltageColour, voltageVerdict } from '../src/lib/scale';

const RED = 0;
const BLUE = 2;

function channel(hex: string, which: number): number {
  return Number.parseInt(hex.slice(1 + 2 * which, 3 + 2 * which), 16);
}

describe('gradient', () => {
  it('meets its stops and mixes between them', () => {
    expect(gradient(['#000000', '#ffffff'], 0)).toBe('#000000');
    expect(gradient(['#000000', '#ffffff'], 1)).toBe('#ffffff');
    expect(gradient(['#000000', '#ffffff'], 0.5)).toBe('#808080');
  });

  it('keeps to its ends outside', () => {
    expect(gradient(['#102030', '#405060'], -3)).toBe('#102030');
    expect(gradient(['#102030', '#405060'], 7)).toBe('#405060');
    expect(gradient(['#102030', '#405060'], Number.NaN)).toBe('#102030');
  });
});

describe.each(['dark', 'light'] as const)('on %s', (theme) => {
  it('is blue at the lower voltage limit and red at the upper', () => {
    const low = voltageColour(0.95, 0.95, 1.05, theme);
    const high = voltageColour(1.05, 0.95, 1.05, theme);
    expect(channel(low, BLUE)).toBeGreaterThan(channel(low, RED));
    expect(channel(high, RED)).toBeGreaterThan(channel(high, BLUE));
    expect(voltageColour(1.2, 0.95, 1.05, theme)).toBe(high);
  });

  it('tells idle from full', () => {
    expect(loadingColour(0, theme)).not.toBe(loadingColour(1, theme));
    expect(rangeColour(5, 5, 5, theme)).toBe(rangeColour(1, 0, 2, theme));
    expect(signedColour(0, 0, theme)).toBe(signedColour(0, 1, theme));
  });
});

it('judges a voltage by what its estimate is worth', () => {
  expect(voltageVerdict(1.05005, 0.95, 1.05, 0)).toBe('within');
  expect(voltageVerdict(1.0502, 0.95, 1.05, 0)).toBe('high');
  expect(voltageVerdict(0.9498, 0.95, 1.05, 0)).toBe('low');
  expect(voltageVerdict(1.0507, 0.95, 1.05, 0.0004)).toBe('within');
  expect(voltageVerdict(1.0521, 0.95, 1.05, 0.05)).toBe('high');
});

it('widens with loading up to the rating', () => {
  expect(loadingWidth(0)).toBe(2);
  expect(loadingWidth(1)).toBe(7);
  expect(loadingWidth(1.4)).toBe(7);
});
