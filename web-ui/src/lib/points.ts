/** Points as the table shows them: filtered, and their values in words. */
import type { PointView } from '../api/types';
import { fixed, grouped, NONE, si } from './format';

/** Units whose values get a prefix; others are shown with the unit as it is. */
const PREFIXED = new Set(['W', 'var', 'VA', 'V', 'A', 'Wh', 'varh', 'VAh', 'Hz']);

/** A point's value in words. */
export function valueText(point: PointView): string {
  const { value, unit } = point;
  if (value === null) return NONE;
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'string') return value;
  if (unit === 'Wh' || unit === 'varh' || unit === 'VAh') return `${grouped(value)} ${unit}`;
  if (PREFIXED.has(unit)) return unit === 'Hz' ? `${fixed(value, 3)} Hz` : si(value, unit);
  const text = Number.isInteger(value) ? fixed(value, 0) : fixed(value, 3);
  return unit ? `${text} ${unit}` : text;
}

export interface PointFilter {
  /** Words that must all occur in the id, the unit or the quality. */
  text: string;
  device: string;
  /** Only what something speaks against. */
  badOnly: boolean;
}

export function filterPoints(points: readonly PointView[], filter: PointFilter): PointView[] {
  const wanted = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  return points.filter((p) => {
    if (filter.device && !p.id.startsWith(`${filter.device}/`)) return false;
    if (filter.badOnly && p.quality.length === 0) return false;
    const text = `${p.id} ${p.unit} ${p.quality.join(' ')}`.toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
}
