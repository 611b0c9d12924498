import { usage } from './errors.ts'

const SIZE_UNITS: Record<string, number> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40
}
const TIME_UNITS: Record<string, number> = { s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3 }

/**
 * Returns the number of bytes in a size such as `10GB` (10^9 each) or `64MiB` (2^20 each). Here and below, `flag` is the
 * flag that the user gave, with which an error begins.
 */
export function parseSize(flag: string, text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim()) ?? []
  const factor = SIZE_UNITS[unit?.toLowerCase() ?? '?']
  if (number === undefined || factor === undefined)
    throw usage(`${flag}: "${text}" is not a size: write it like 10GB or 64MiB`)
  const bytes = Math.floor(Number(number) * factor)
  if (!Number.isSafeInteger(bytes)) throw usage(`${flag}: the size "${text}" is too large`)
  return bytes
}

/** Returns a number of bytes as `parseSize` takes it, in the largest unit of 1,024 that fits exactly. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let power = 0
  while (power < units.length - 1 && bytes > 0 && bytes % 2 ** (10 * (power + 1)) === 0) power++
  return `${bytes / 2 ** (10 * power)}${units[power]}`
}

/** Returns the number of milliseconds in a time such as `5s`, `10m`, `24h` or `30d`. */
export function parseTime(flag: string, text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([smhd])$/.exec(text.trim()) ?? []
  if (number === undefined) throw usage(`${flag}: "${text}" is not a time: write it like 5s, 10m, 24h or 30d`)
  return Math.floor(Number(number) * (TIME_UNITS[unit as string] as number))
}

/** Returns a time in ms as `parseTime` takes it, in the largest unit that fits exactly. */
export function timeText(ms: number): string {
  const [unit, unitMs] = Object.entries(TIME_UNITS).findLast(([, unitMs]) => ms % unitMs === 0) ?? ['s', 1_000]
  return `${ms / unitMs}${unit}`
}

/**
 * The most copies that a user may ask for. It equals the bound of records in format/constants.ts, which this room must
 * not load; a test compares the two.
 */
export const COPIES_MAX = 255

/** Parses a number of copies: `all`, or a number from 1 to `COPIES_MAX`. */
export function parseCopies(flag: string, text: string): number | 'all' {
  if (text === 'all') return 'all'
  if (!/^[1-9]\d{0,2}$/.test(text) || Number(text) > COPIES_MAX)
    throw usage(`${flag}: "${text}" is not a number of copies: give "all", or a number from 1 to ${COPIES_MAX}`)
  return Number(text)
}

/** Formats a number of bytes for people. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  // From here on a value would be rounded to 1024.0. (A number of bytes is whole, so it reaches 1024 first.)
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return unit === 0 ? `${bytes} B` : `${value.toFixed(1)} ${units[unit]}`
}

/** Formats a number of seconds for people. */
export function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}

/** Formats a number of things for people: `1 file`, `1,200 files`. `many` is for a plural that does not end in s. */
export function formatCount(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? one : many}`
}
