/** Hash routes: the server needs no fallback page, and a link can be sent to a colleague. */

export const PAGES = ['overview', 'area', 'market', 'participants', 'points', 'devices', 'dispatch', 'alarms', 'users'] as const;
export type Page = (typeof PAGES)[number] | 'enrol' | 'login';

export interface Route {
  page: Page;
  params: URLSearchParams;
}

/** `#/market?interval=…` to its page and parameters; anything unknown is the overview. */
export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const page = [...PAGES, 'enrol' as const, 'login' as const].find((p) => p === path);
  return { page: page ?? 'overview', params: new URLSearchParams(query) };
}

/** The hash of a page. */
export function href(page: Page, params: Record<string, string> = {}): string {
  const query = new URLSearchParams(params).toString();
  return `#/${page}${query ? `?${query}` : ''}`;
}
