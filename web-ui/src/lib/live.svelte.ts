/**
 * Everything the appliance publishes, kept current by one event stream. The stream sends the full
 * set first and then what changed; a stream that broke or fell silent is opened anew.
 */
import { call } from '../api/client';
import type {
  AlarmView,
  DeviceView,
  DispatchView,
  HoldView,
  IntervalView,
  NetworkState,
  NetworkView,
  OrderView,
  PointView,
  Status,
} from '../api/types';
import { clock } from './clock.svelte';
import { backoff, mergeBy, mergeIntervals, mergeOrders, mergePoints } from './merge';
import { session } from './session.svelte';

/** The appliance speaks every second; this long without a word and the line is taken for dead. */
const SILENCE_MS = 6000;

export type Connection = 'connecting' | 'live' | 'lost';

class Live {
  connection = $state<Connection>('connecting');
  /** When the last event came, by the appliance's clock, ms; 0 before the first. */
  lastEvent = $state(0);
  status = $state.raw<Status | null>(null);
  network = $state.raw<NetworkView | null>(null);
  state = $state.raw<NetworkState | null>(null);
  devices = $state.raw<DeviceView[]>([]);
  points = $state.raw<PointView[]>([]);
  intervals = $state.raw<IntervalView[]>([]);
  orders = $state.raw<OrderView[]>([]);
  dispatch = $state.raw<DispatchView[]>([]);
  holds = $state.raw<HoldView[]>([]);
  alarms = $state.raw<AlarmView[]>([]);

  #source: EventSource | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #watchdog: ReturnType<typeof setInterval> | undefined;
  #heard = 0;
  #attempt = 0;
  /** Kinds of which this stream has sent the full set. */
  #full = new Set<string>();

  start(): void {
    this.stop();
    this.connection = 'connecting';
    this.#open();
    this.#watchdog = setInterval(() => {
      if (this.#source && Date.now() - this.#heard > SILENCE_MS) this.#lost();
    }, 1000);
  }

  stop(): void {
    clearTimeout(this.#retry);
    clearInterval(this.#watchdog);
    this.#source?.close();
    this.#source = null;
    this.#attempt = 0;
  }

  /** Orders are placed here too; show them without waiting for the stream. */
  tookOrder(order: OrderView): void {
    this.orders = mergeOrders(this.orders, [order]);
  }

  tookHolds(holds: HoldView[]): void {
    this.holds = holds;
  }

  tookAlarm(alarm: AlarmView): void {
    this.alarms = mergeBy(this.alarms, [alarm], (a) => a.id);
  }

  #open(): void {
    this.#full.clear();
    this.#heard = Date.now();
    const source = new EventSource('/api/v1/events');
    this.#source = source;
    const on = <T>(kind: string, take: (data: T, full: boolean) => void): void => {
      source.addEventListener(kind, (event: MessageEvent<string>) => {
        const full = !this.#full.has(kind);
        this.#full.add(kind);
        take(JSON.parse(event.data) as T, full);
        this.#heardSomething();
      });
    };
    on<Status>('status', (status) => {
      clock.follow(status.now);
      this.status = status;
    });
    on<NetworkState>('network_state', (state) => (this.state = state));
    on<DeviceView[]>('devices', (devices) => (this.devices = devices));
    on<PointView[]>('points', (points, full) => {
      this.points = full ? points : mergePoints(this.points, points);
    });
    on<IntervalView[]>('intervals', (intervals, full) => {
      this.intervals = mergeIntervals(full ? [] : this.intervals, intervals);
    });
    on<OrderView[]>('orders', (orders, full) => {
      this.orders = mergeOrders(full ? [] : this.orders, orders);
    });
    on<DispatchView[]>('dispatch', (dispatch) => (this.dispatch = dispatch));
    on<HoldView[]>('holds', (holds) => (this.holds = holds));
    on<AlarmView[]>('alarms', (alarms) => (this.alarms = alarms));
    source.onopen = (): void => void this.#refetch();
    source.onerror = (): void => this.#lost();
  }

  #heardSomething(): void {
    this.#heard = Date.now();
    this.#attempt = 0;
    this.connection = 'live';
    this.lastEvent = clock.now;
  }

  /** What the stream does not carry; another site may be running since the line broke. */
  async #refetch(): Promise<void> {
    try {
      this.network = await call<NetworkView>('GET', '/network');
    } catch {
      this.#lost();
    }
  }

  #lost(): void {
    this.#source?.close();
    this.#source = null;
    this.connection = 'lost';
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.#reconnect(), backoff(this.#attempt));
    this.#attempt += 1;
  }

  /** An event source does not say why it failed; the session does. Logged out means stop asking. */
  async #reconnect(): Promise<void> {
    await session.refresh();
    if (session.error) this.#lost();
    else if (session.view?.user) this.#open();
  }
}

export const live = new Live();
