/**
 * Appends items to a list. `list.push(...items)` would pass each of them as an argument, and a call with more than about
 * 100,000 arguments throws a `RangeError`.
 */
export function pushAll<T>(list: T[], items: Iterable<T>): void {
  for (const item of items) list.push(item)
}
