/** Keeping what is shown up to date from the event stream: full set first, then what changed. */

/** Replaces the entries of `current` that `changed` names by `key`, and adds the new ones. */
export function mergeBy<T, K extends string | number>(
  current: readonly T[],
  changed: readonly T[],
  key: (entry: T) => K,
): T[] {
  const updates = new Map(changed.map((entry) => [key(entry), entry]));
  const merged = current.map((entry) => {
    const id = key(entry);
    const update = updates.get(id);
    updates.delete(id);
    return update ?? entry;
  });
  return updates.size === 0 ? merged : [...merged, ...updates.values()];
}

/** Points by id, sorted by id. */
export function mergePoints<T extends { id: string }>(current: readonly T[], changed: readonly T[]): T[] {
  const merged = mergeBy(current, changed, (p) => p.id);
  return merged.length === current.length ? merged : merged.sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Intervals newest first, no more than `keep` of them: a screen left open must not grow. */
export function mergeIntervals<T extends { start: string }>(
  current: readonly T[],
  changed: readonly T[],
  keep = 120,
): T[] {
  return mergeBy(current, changed, (i) => Date.parse(i.start))
    .sort((a, b) => Date.parse(b.start) - Date.parse(a.start))
    .slice(0, keep);
}

/** Orders newest first, no more than `keep` of them. */
export function mergeOrders<T extends { id: number }>(
  current: readonly T[],
  changed: readonly T[],
  keep = 2000,
): T[] {
  return mergeBy(current, changed, (o) => o.id)
    .sort((a, b) => b.id - a.id)
    .slice(0, keep);
}

/** Delay before the next attempt to connect, ms: 0.5 s doubling to 8 s. */
export function backoff(attempt: number): number {
  return Math.min(500 * 2 ** Math.max(0, attempt), 8000);
}
