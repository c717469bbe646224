/** The appliance's clock as the screen sees it, and in which zone it is shown. */
import type { Zone } from './format';

const ZONE_KEY = 'busbar.zone';

class Clock {
  /** The appliance's now, ms since the epoch; moves four times a second. */
  now = $state(Date.now());
  /** UTC everywhere; local time on a screen only, when asked for. */
  zone = $state<Zone>(localStorage.getItem(ZONE_KEY) === 'local' ? 'local' : 'utc');
  /** The appliance's clock minus this computer's, ms. */
  #offset = 0;

  constructor() {
    setInterval(() => {
      this.now = Date.now() + this.#offset;
    }, 250);
  }

  /** Takes the appliance's time from its latest status. */
  follow(serverNow: string): void {
    const at = Date.parse(serverNow);
    if (!Number.isNaN(at)) this.#offset = at - Date.now();
  }

  toggleZone(): void {
    this.zone = this.zone === 'utc' ? 'local' : 'utc';
    localStorage.setItem(ZONE_KEY, this.zone);
  }
}

export const clock = new Clock();
