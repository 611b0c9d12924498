/**
 * Returns true once a wall-clock time has come that was written down as at most `waitMs` ahead. A time that is further ahead
 * than it ever could be was written before the clock was set back. It counts as come, since otherwise a clock that ran years
 * ahead for a moment would put work off for years. Twice the wait is allowed, because small corrections of a clock are usual.
 */
export function hasCome(atMs: number, nowMs: number, waitMs: number): boolean {
  return atMs <= nowMs || atMs > nowMs + 2 * waitMs
}
