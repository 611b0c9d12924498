const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const YEAR_MS = 365 * DAY_MS

/** Returns a time for people, in one unit: `6 min`, `24 h`, `3 days`, `20 years`. */
export function roughDuration(ms: number): string {
  if (ms >= 2 * YEAR_MS) return `${Math.round(ms / YEAR_MS)} years`
  if (ms >= 2 * DAY_MS) return `${Math.round(ms / DAY_MS)} days`
  if (ms >= 2 * HOUR_MS) return `${Math.round(ms / HOUR_MS)} h`
  return `${Math.max(1, Math.round(ms / MINUTE_MS))} min`
}
