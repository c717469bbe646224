/** The market of an area, where this is one: asked for again and again; a substation answers once that it is none. */
import { ApiError, call } from '../api/client';
import type { AreaView } from '../api/types';

const AGAIN_MS = 2000;

class Area {
  view = $state.raw<AreaView | null>(null);
  private timer: ReturnType<typeof setTimeout> | undefined;

  start(): void {
    this.stop();
    void this.ask();
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private async ask(): Promise<void> {
    try {
      this.view = await call<AreaView>('GET', '/area');
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return;
    }
    this.timer = setTimeout(() => void this.ask(), AGAIN_MS);
  }
}

export const area = new Area();
