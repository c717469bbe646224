/** Who is logged in. */
import { ApiError, call, explain, whenUnauthorised } from '../api/client';
import type { SessionView } from '../api/types';

class Session {
  /** What the server last said; `null` until it did. */
  view = $state.raw<SessionView | null>(null);
  /** Why it could not be asked. */
  error = $state<string | null>(null);

  constructor() {
    whenUnauthorised(() => void this.refresh());
  }

  get operator(): boolean {
    return this.view?.role === 'operator';
  }

  async refresh(): Promise<void> {
    try {
      this.view = await call<SessionView>('GET', '/session');
      this.error = null;
    } catch (error) {
      this.error = explain(error);
    }
  }

  async enrol(code: string, user: string, password: string): Promise<void> {
    this.view = await call<SessionView>('POST', '/enrol', { code, user, password });
  }

  async login(user: string, password: string): Promise<void> {
    this.view = await call<SessionView>('POST', '/login', { user, password });
  }

  async logout(): Promise<void> {
    try {
      await call('POST', '/logout');
    } catch (error) {
      // Logged out already is logged out.
      if (!(error instanceof ApiError && error.status === 401)) throw error;
    }
    this.view = { enrolled: true, user: null, role: null };
  }
}

export const session = new Session();
