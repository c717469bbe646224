import { describe, expect, it } from 'vitest';
import { agreedWords, basisWords, steps } from '../src/lib/above';

const corner = (exchange_w: number, price_per_mwh: number) => ({ exchange_w, price_per_mwh, q_var: 0 });

describe('the offered curve', () => {
  it('is level from corner to corner', () => {
    const drawn = steps([corner(-100, 80), corner(0, 30), corner(100, 0)]);
    // 80 and 30 with a tenth of air: 85 at the top, 25 at the bottom.
    expect(drawn?.path).toBe('M0.0000 0.0833 L0.5000 0.0833 L0.5000 0.9167 L1.0000 0.9167');
    expect(drawn?.x(-50)).toBe(0.25);
    expect(drawn?.y(55)).toBe(0.5);
  });

  it('leaves room for a price outside it', () => {
    const drawn = steps([corner(0, 40), corner(10, 0)], [90]);
    expect(drawn?.low.price).toBe(35);
    expect(drawn?.high.price).toBe(95);
  });

  it('is no drawing when there is nothing to choose', () => {
    expect(steps([])).toBeNull();
    expect(steps([corner(5, 0)])).toBeNull();
  });
});

describe('words', () => {
  it('say on what the exchange rests', () => {
    expect(basisWords({ basis: 'award', award: 3 })).toBe('award 3');
    expect(basisWords({ basis: 'schedule', award: null })).toContain('scheduled');
    expect(basisWords({ basis: 'last_award', award: null })).toContain('last one');
    expect(basisWords({ basis: 'zero', award: null })).toContain('nothing');
    expect(basisWords({ basis: null, award: null })).toContain('waiting');
  });

  it('say whether both ends agree', () => {
    expect(agreedWords({ agreed: true, hash: 'ab' })).toBe('both ends agree');
    expect(agreedWords({ agreed: false, hash: 'ab' })).toContain('another account');
    expect(agreedWords({ agreed: null, hash: 'ab' })).toContain('not answered');
    expect(agreedWords({ agreed: null, hash: null })).toContain('not metered');
  });
});
