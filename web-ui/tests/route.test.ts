import { expect, it } from 'vitest';
import { href, parseRoute } from '../src/lib/route';

it('reads page and parameters', () => {
  const route = parseRoute('#/enrol?code=ABCD-EFGH');
  expect(route.page).toBe('enrol');
  expect(route.params.get('code')).toBe('ABCD-EFGH');
});

it('takes anything unknown for the overview', () => {
  for (const hash of ['', '#', '#/', '#/nowhere', '#overview', '#/../etc']) {
    expect(parseRoute(hash).page).toBe('overview');
  }
});

it('writes what it reads', () => {
  const hash = href('market', { interval: '2026-11-22T08:00:00Z' });
  expect(parseRoute(hash).page).toBe('market');
  expect(parseRoute(hash).params.get('interval')).toBe('2026-11-22T08:00:00Z');
});
