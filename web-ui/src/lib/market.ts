/** What the market page needs to know of intervals, prices and orders, without drawing any of it. */
import type { BindingView, CallView, ExplanationView, IntervalView, NewOrder, OrderView, UnitView } from '../api/types';

/** The phases of an interval in order. `failed` ends it before `cleared`, `void` before `delivering`. */
export const PHASES = ['open', 'gate_closed', 'cleared', 'delivering', 'delivered', 'settled'] as const;

/** How far along an interval is: index into `PHASES`, or -1 if it failed or is void. */
export function phaseIndex(phase: string): number {
  return (PHASES as readonly string[]).indexOf(phase);
}

/** Intervals that still take orders, the one whose gate closes first at the front. */
export function openIntervals(intervals: readonly IntervalView[], nowMs: number): IntervalView[] {
  return intervals
    .filter((i) => i.phase === 'open' && Date.parse(i.gate_closure) > nowMs)
    .sort((a, b) => Date.parse(a.start) - Date.parse(b.start));
}

/** What the page shows unless a person picks: the newest interval that was cleared, or failed to be. */
export function latestDecided(intervals: readonly IntervalView[]): IntervalView | undefined {
  return intervals.find((i) => i.phase !== 'open' && i.phase !== 'gate_closed') ?? intervals[0];
}

/** Scale of a bar chart that holds zero: where zero lies and how long a value's bar is, in shares. */
export interface Axis {
  low: number;
  high: number;
}

/** Axis over the values and zero, with a twentieth of air at each end that is not zero. */
export function axis(values: readonly number[]): Axis {
  const low = Math.min(0, ...values);
  const high = Math.max(0, ...values);
  const air = (high - low || 1) / 20;
  return { low: low < 0 ? low - air : 0, high: high > 0 || low === 0 ? high + air : 0 };
}

/** Left edge and width of a bar from zero, both in 0..1. */
export function bar(value: number, on: Axis): { left: number; width: number } {
  return stretch(0, value, on);
}

/** Left edge and width of what lies between two values, both in 0..1. */
export function stretch(from: number, to: number, { low, high }: Axis): { left: number; width: number } {
  const span = high - low;
  return { left: (Math.min(from, to) - low) / span, width: Math.abs(to - from) / span };
}

/** A part of a price, and between which values it lies when the parts are laid end to end from zero. */
export interface PricePart {
  name: string;
  value: number;
  from: number;
  to: number;
}

/** What a price is made of, in the order of a bill; last what no other part explains, if it shows. */
export function priceParts({ price, limits }: Pick<ExplanationView, 'price' | 'limits'>): PricePart[] {
  let from = 0;
  const lay = (name: string, value: number): PricePart => {
    const part = { name, value, from, to: from + value };
    from = part.to;
    return part;
  };
  const parts = [lay('energy', price.energy_per_mwh), lay('losses', price.loss_per_mwh)];
  parts.push(...limits.map((limit) => lay(limit.text, limit.per_mwh)));
  return Math.abs(price.rest_per_mwh) < 0.005 ? parts : [...parts, lay('not explained', price.rest_per_mwh)];
}

/** Unit of a binding limit's bound and value, and what one unit of relief is called. */
export function bindingUnit(kind: BindingView['kind']): 'pu' | 'A' | 'VA' | 'W' {
  if (kind === 'u_max' || kind === 'u_min') return 'pu';
  if (kind === 'current') return 'A';
  return kind === 'apparent' ? 'VA' : 'W';
}

/** What the order form holds, as typed. */
export interface OrderForm {
  unit: UnitView | undefined;
  interval: string;
  direction: 'sell' | 'buy';
  steps: { kw: string; price: string }[];
}

/**
 * The order as typed, or what cannot be read. Only what is not a number at all is refused here:
 * what an order may hold is the server's to judge, in its own words.
 */
export function readOrder(form: OrderForm, clientId: string): NewOrder | string {
  if (!form.unit) return 'choose a unit';
  if (!form.interval) return 'no interval is open for orders';
  const steps = [];
  for (const [k, step] of form.steps.entries()) {
    const kw = readNumber(step.kw);
    const price = readNumber(step.price);
    if (kw === null) return `step ${k + 1}: the quantity “${step.kw}” is not a number`;
    if (price === null) return `step ${k + 1}: the price “${step.price}” is not a number`;
    steps.push({ quantity_w: Math.round(kw * 1000), price_per_mwh: price });
  }
  return {
    client_id: clientId,
    node: form.unit.node,
    unit: form.unit.id,
    participant: form.unit.participant,
    interval: form.interval,
    direction: form.direction,
    steps,
  };
}

/** A decimal number with point or comma; `null` if it is none. */
export function readNumber(text: string): number | null {
  const plain = text.trim().replace('−', '-').replace(',', '.');
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain) && Number.isFinite(Number(plain))
    ? Number(plain)
    : null;
}

/** An id of the sender's own, from random bytes (`randomUUID` exists on secure origins only). */
export function newClientId(random: Uint8Array): string {
  return `ui-${Array.from(random, (b) => b.toString(16).padStart(2, '0')).join('')}`;
}

type CallOrder = OrderView & { kind: Extract<OrderView['kind'], { of: 'call' }> };

/** A call that is about an interval, with what came of it there. */
export interface Called {
  order: CallOrder;
  /** What is paid for it; nothing where the unit would have kept to it anyway. */
  paid: CallView | undefined;
  /** Power of the unit, W, with the call and without; nothing before the clearing. */
  power: { now: number; without: number } | undefined;
}

/** The calls of an interval, those of the unit with the lowest number first. */
export function callsOf(interval: IntervalView, orders: readonly OrderView[]): Called[] {
  const at = Date.parse(interval.start);
  const hours = (Date.parse(interval.end) - at) / 3_600_000;
  const about = (order: OrderView): order is CallOrder => {
    if (order.kind.of !== 'call' || order.state === 'cancelled') return false;
    const first = Date.parse(order.interval);
    return order.kind.end ? first <= at && at < Date.parse(order.kind.end) : first === at;
  };
  const rows = orders.filter(about).map((order) => {
    const paid = interval.calls.find((c) => c.order === order.id);
    const award = interval.awards.find((a) => a.unit === order.unit);
    const changed = (paid?.energy_wh ?? 0) / hours;
    return { order, paid, power: award && { now: award.p_w, without: award.p_w - changed } };
  });
  return rows.sort((a, b) => a.order.unit - b.order.unit);
}
