import { formatDuration } from '../terminal/units.ts'

/** A moment that lies less than this in the past is `now`, because members report only from time to time. */
const NOW_MS = 10_000
const DAY_MS = 86_400_000

/** Returns how long ago a moment was, in one unit. */
export function agoText(time: string, nowMs: number): string {
  const ms = nowMs - Date.parse(time)
  if (ms < NOW_MS) return 'now'
  return `${oneUnit(ms)} ago`
}

/** Returns how much time is left until a moment, in one unit. */
export function leftText(time: string, nowMs: number): string {
  return `${oneUnit(Math.max(0, Date.parse(time) - nowMs))} left`
}

/** Returns a moment as a person reads it, in the time zone of this machine. */
export function localTime(time: string): string {
  const date = new Date(time)
  const two = (number: number): string => String(number).padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`
}

function oneUnit(ms: number): string {
  if (ms >= 2 * DAY_MS) return `${Math.floor(ms / DAY_MS)} days`
  const [number, unit] = formatDuration(ms / 1_000).split(' ')
  return `${number} ${unit}`
}
