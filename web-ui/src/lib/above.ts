/** What the market above is shown with: the offered curve as steps, and words. */
import type { AboveIntervalView, CornerView } from '../api/types';

/** A drawing of a curve, each coordinate 0..1, right and up. */
export interface Steps {
  /** SVG path, `y` down. */
  path: string;
  /** Where an exchange lies; outside 0..1 it is off the drawing. */
  x: (exchangeW: number) => number;
  /** Where a price lies. */
  y: (pricePerMwh: number) => number;
  low: { exchangeW: number; price: number };
  high: { exchangeW: number; price: number };
}

/** Price over exchange: level from corner to corner. `extra` prices are to be on the drawing too. */
export function steps(curve: readonly CornerView[], extra: readonly number[] = []): Steps | null {
  const first = curve[0];
  const last = curve.at(-1);
  if (!first || !last || first === last) return null;
  const levels = curve.slice(0, -1);
  const prices = [...levels.map((c) => c.price_per_mwh), ...extra];
  const [bottom, top] = [Math.min(...prices), Math.max(...prices)];
  const air = (top - bottom || 1) / 10;
  const low = { exchangeW: first.exchange_w, price: bottom - air };
  const high = { exchangeW: last.exchange_w, price: top + air };
  const x = (w: number): number => (w - low.exchangeW) / (high.exchangeW - low.exchangeW);
  const y = (price: number): number => (price - low.price) / (high.price - low.price);
  const at = (w: number, price: number): string => `${x(w).toFixed(4)} ${(1 - y(price)).toFixed(4)}`;
  const path = levels.map((corner, k) => {
    const end = curve[k + 1] ?? last;
    const lead = k === 0 ? 'M' : 'L';
    return `${lead}${at(corner.exchange_w, corner.price_per_mwh)} L${at(end.exchange_w, corner.price_per_mwh)}`;
  });
  return { path: path.join(' '), x, y, low, high };
}

/** On what an interval's exchange rests, in words. */
export function basisWords(of: Pick<AboveIntervalView, 'basis' | 'award'>): string {
  switch (of.basis) {
    case 'award':
      return `award ${of.award ?? ''}`.trim();
    case 'last_award':
      return 'no award in time: as the last one';
    case 'schedule':
      return 'no award in time: as scheduled';
    case 'zero':
      return 'no award in time: nothing';
    default:
      return 'waiting for the award';
  }
}

/** Whether both ends have the same account of it, in words. */
export function agreedWords(of: Pick<AboveIntervalView, 'agreed' | 'hash'>): string {
  if (of.agreed === true) return 'both ends agree';
  if (of.agreed === false) return 'the other end has another account';
  return of.hash === null ? 'not metered yet' : 'not answered yet';
}
