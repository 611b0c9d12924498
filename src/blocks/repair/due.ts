/**
 * Returns true once a wall-clock time has come that was at most `waitMs` ahead when it was written. If it is more than
 * twice as far ahead now, the clock has been set back since. Such a time counts as reached, because otherwise a clock
 * that ran years ahead for a moment would delay work for years. The factor of two allows for small corrections of the
 * clock.
 */
export function hasCome(atMs: number, nowMs: number, waitMs: number): boolean {
  return atMs <= nowMs || atMs > nowMs + 2 * waitMs
}
