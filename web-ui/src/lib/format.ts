/**
 * Numbers, times and money in words. SI in, engineer's notation out: `4643394` W is `4.64 MW`.
 * Absent values are an en dash; a minus is U+2212 so that columns of tabular figures line up.
 */

export const NONE = '–';

const PREFIXES: readonly (readonly [number, string])[] = [
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
  [1, ''],
];

/** Fixed decimals with a true minus sign. */
export function fixed(value: number | null | undefined, decimals: number): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const text = Math.abs(value).toFixed(decimals);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}

/** Three significant figures with the unit's prefix: W, var, VA, Wh, V, A. */
export function si(value: number | null | undefined, unit: string): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const magnitude = Math.abs(value);
  // 999.6 W shows as 1.00 kW, not 1000 W: compare what three figures would show.
  const [factor, prefix] = PREFIXES.find(([f]) => magnitude >= f * 0.9995) ?? ([1, ''] as const);
  const scaled = value / factor;
  const size = Math.abs(scaled);
  const decimals = magnitude === 0 ? 0 : size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  return `${fixed(scaled, factor === 1 && decimals > 1 ? 1 : decimals)} ${prefix}${unit}`;
}

/** A share as percent. */
export function percent(share: number | null | undefined, decimals = 0): string {
  return share === null || share === undefined ? NONE : `${fixed(share * 100, decimals)} %`;
}

/** Integer micro-currency, exact to the micro, with at least two decimals. */
export function money(micro: number, currency: string): string {
  const sign = micro < 0 ? '−' : '';
  const whole = Math.trunc(Math.abs(micro) / 1e6);
  const rest = String(Math.abs(micro) % 1e6).padStart(6, '0').replace(/0{1,4}$/, '');
  return `${sign}${grouped(whole)}.${rest} ${currency}`;
}

/** Integers with thin spaces between thousands. */
export function grouped(value: number): string {
  return fixed(value, 0).replace(/\B(?=(\d{3})+(?!\d))/g, '\u2009');
}

/** Bytes in binary units, as process monitors show memory. */
export function bytes(value: number): string {
  return value >= 2 ** 30 ? `${fixed(value / 2 ** 30, 2)} GiB` : `${fixed(value / 2 ** 20, 1)} MiB`;
}

/** Microseconds in a readable unit. */
export function micros(us: number | null | undefined): string {
  if (us === null || us === undefined) return NONE;
  if (us < 1000) return `${fixed(us, 0)} µs`;
  return us < 1e6 ? `${fixed(us / 1e3, us < 1e4 ? 1 : 0)} ms` : `${fixed(us / 1e6, 1)} s`;
}

/** How long: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`. */
export function duration(ms: number): string {
  const s = Math.max(0, ms) / 1000;
  if (s < 9.95) return `${fixed(s, 1)} s`;
  const whole = Math.round(s);
  if (whole < 60) return `${whole} s`;
  const pad = (n: number): string => String(n).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/** Whole seconds left until a moment, never negative. */
export function secondsLeft(until: string | null | undefined, nowMs: number): number | null {
  if (!until) return null;
  const at = Date.parse(until);
  return Number.isNaN(at) ? null : Math.max(0, Math.ceil((at - nowMs) / 1000));
}

export type Zone = 'utc' | 'local';

/** Time of day, `HH:MM:SS`. */
export function timeOfDay(time: string | number | null | undefined, zone: Zone): string {
  const at = parts(time, zone);
  return at ? `${at.hh}:${at.mm}:${at.ss}` : NONE;
}

/** Date and time of day, `YYYY-MM-DD HH:MM:SS`. */
export function dateTime(time: string | number | null | undefined, zone: Zone): string {
  const at = parts(time, zone);
  return at ? `${at.date} ${at.hh}:${at.mm}:${at.ss}` : NONE;
}

interface Parts {
  date: string;
  hh: string;
  mm: string;
  ss: string;
}

function parts(time: string | number | null | undefined, zone: Zone): Parts | null {
  if (time === null || time === undefined) return null;
  const d = new Date(time);
  if (Number.isNaN(d.getTime())) return null;
  const two = (n: number): string => String(n).padStart(2, '0');
  return zone === 'utc'
    ? {
        date: d.toISOString().slice(0, 10),
        hh: two(d.getUTCHours()),
        mm: two(d.getUTCMinutes()),
        ss: two(d.getUTCSeconds()),
      }
    : {
        date: `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`,
        hh: two(d.getHours()),
        mm: two(d.getMinutes()),
        ss: two(d.getSeconds()),
      };
}

/** `1 order`, `2 orders`. */
export function count(n: number, noun: string): string {
  return `${grouped(n)} ${noun}${n === 1 ? '' : 's'}`;
}

/** `least_violation` as `least violation`. */
export function words(code: string | null | undefined): string {
  return code ? code.replaceAll('_', ' ') : NONE;
}
