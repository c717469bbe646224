/**
 * Colour scales that survive colour-blindness: RdBu (ColorBrewer) for what may be too low or too
 * high, viridis for what is little or much. Each has a dark and a light form, so that the calm
 * middle recedes into the background in both. The number always stands beside the colour.
 */

export type Theme = 'dark' | 'light';

const RDBU: Record<Theme, readonly string[]> = {
  dark: ['#3f93d6', '#85b9de', '#c3ccd4', '#eda37c', '#ee5f4d'],
  light: ['#1b5fa8', '#5b93c4', '#7d8894', '#d3744f', '#b1182b'],
};

const VIRIDIS: Record<Theme, readonly string[]> = {
  dark: ['#39648c', '#2c8e8c', '#3fb577', '#a2d645', '#fde725'],
  light: ['#5fb58a', '#2a958b', '#2f6c8e', '#413c80', '#440154'],
};

/** Colour at `t` in 0..1 between the stops, `#rrggbb`; outside it the end stop. */
export function gradient(stops: readonly string[], t: number): string {
  const last = stops.length - 1;
  const at = Math.min(Math.max(Number.isFinite(t) ? t : 0, 0), 1) * last;
  const low = Math.min(Math.floor(at), last - 1);
  const a = channels(stops[low] ?? '#000000');
  const b = channels(stops[low + 1] ?? '#000000');
  const mix = a.map((v, k) => Math.round(v + ((b[k] ?? v) - v) * (at - low)));
  return `#${mix.map((v) => v.toString(16).padStart(2, '0')).join('')}`;
}

function channels(hex: string): number[] {
  return [1, 3, 5].map((k) => Number.parseInt(hex.slice(k, k + 2), 16));
}

/** Where a voltage lies between its limits: 0 at the lower, 1 at the upper, beyond outside. */
export function voltageShare(u: number, min: number, max: number): number {
  return (u - min) / (max - min);
}

/** Colour of a node voltage: blue at the lower limit, neutral in the middle, red at the upper. */
export function voltageColour(u: number, min: number, max: number, theme: Theme): string {
  return gradient(RDBU[theme], voltageShare(u, min, max));
}

/**
 * Whether an estimated voltage is outside its limits: by more than two standard deviations, so
 * that a node held at its limit does not flicker, but no more than 0.002 pu is ever forgiven.
 */
export function voltageVerdict(u: number, min: number, max: number, sigma: number): 'low' | 'high' | 'within' {
  const slack = Math.min(Math.max(2 * sigma, 1e-4), 2e-3);
  if (u > max + slack) return 'high';
  return u < min - slack ? 'low' : 'within';
}

/** Colour of a loading, 1 is full. */
export function loadingColour(loading: number, theme: Theme): string {
  return gradient(VIRIDIS[theme], loading);
}

/** Width of a branch's stroke: 2 px idle to 7 px at full load and beyond. */
export function loadingWidth(loading: number): number {
  return 2 + 5 * Math.min(Math.max(loading, 0), 1);
}

/** Colour of a value within a range on the sequential scale. */
export function rangeColour(value: number, low: number, high: number, theme: Theme): string {
  return gradient(VIRIDIS[theme], high > low ? (value - low) / (high - low) : 0.5);
}

/** Colour of a signed value: blue negative, red positive, `extent` at the ends. */
export function signedColour(value: number, extent: number, theme: Theme): string {
  return gradient(RDBU[theme], extent > 0 ? 0.5 + value / (2 * extent) : 0.5);
}

/** CSS gradient for a legend. */
export function legendGradient(scale: 'voltage' | 'loading', theme: Theme): string {
  const stops = scale === 'voltage' ? RDBU[theme] : VIRIDIS[theme];
  return `linear-gradient(90deg, ${stops.join(', ')})`;
}
