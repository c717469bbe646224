/** Holding a unit at a power: what an operator typed, read and checked before the appliance is asked. */
import type { HoldView, NewHold, UnitView } from '../api/types';

/** Longest that the appliance takes, min. */
const MOST_MINUTES = 1440;

export interface HoldForm {
  /** Active power, kW. */
  kw: string;
  /** Reactive power, kvar; empty is none. */
  kvar: string;
  minutes: string;
}

function number(text: string): number {
  const trimmed = text.trim().replace(',', '.');
  return trimmed === '' ? Number.NaN : Number(trimmed);
}

/** What to ask for, or what is wrong with it. */
export function readHold(unit: UnitView, form: HoldForm): NewHold | string {
  const p_w = number(form.kw) * 1000;
  const q_var = form.kvar.trim() === '' ? 0 : number(form.kvar) * 1000;
  const minutes = number(form.minutes);
  const least = unit.kind === 'battery' ? -unit.p_rated_w : 0;
  if (!(p_w >= least && p_w <= unit.p_rated_w)) {
    return `active power is ${least / 1000} to ${unit.p_rated_w / 1000} kW`;
  }
  if (!(Math.abs(q_var) <= unit.q_rated_var)) {
    return `reactive power is within ±${unit.q_rated_var / 1000} kvar`;
  }
  const lasts_s = Math.round(minutes * 60);
  if (!(lasts_s >= 10 && minutes <= MOST_MINUTES)) return `it lasts 10 s to ${MOST_MINUTES} min`;
  return { p_w, q_var, lasts_s };
}

/** The holds of a unit, that in force first. */
export function holdsOf(holds: HoldView[], unit: number): HoldView[] {
  return holds.filter((hold) => hold.unit === unit).toSorted((a, b) => Number(b.in_force) - Number(a.in_force));
}
