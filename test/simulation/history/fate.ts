import { PURGE_WAIT_MS, SHORT_LIVED_MAX, SHORT_LIVED_MS } from '../../../src/catalog/constants.ts'
import { covers } from '../../../src/format/entry.ts'
import { hlcMs } from '../../../src/format/stamp.ts'
import { equalBytes, toHex } from '../../../src/util/bytes.ts'
import { coverersOf, isVersion, type Records, type SeenRecord } from './records.ts'

/** How far the clocks of the machines may be apart, and a moment that is noted late. */
const TOLERANCE_MS = 15 * 60_000
const DAY_MS = 24 * 60 * 60_000
/** How far a clock may be ahead. A machine whose clock is ahead when a version ends keeps that version longer by as much. */
export const AHEAD_MS_MAX = 40 * DAY_MS

/** What a machine must do with a version at some moment. */
export type Duty = 'keep' | 'drop' | 'either'

export interface FateOptions {
  records: Records
  machine: string
  nowMs: number
  /** The shortest and the longest time for which versions were ever to be kept, in days. */
  days: { least: number; most: number }
}

/**
 * Says what a machine must do with a version, by the rules alone and in ms of the calendar, which no machine can read:
 * from when the records reached this machine. Near the end of its time, and where a rule has a choice, it may do either.
 */
export function dutyFor(version: SeenRecord, options: FateOptions): Duty {
  const { records, machine, nowMs, days } = options
  const known = records.knownTo(machine)
  const ofEntry = [...records.all.values()].filter(
    ({ id, record }) => known.has(id) && toHex(record.entry) === toHex(version.record.entry)
  )
  const arrivedMs = known.get(version.id)
  if (arrivedMs === undefined) return 'either'
  const coverers = coverersOf(version, ofEntry)
  if (coverers.length === 0) return 'keep'
  const whenMs = ({ id }: SeenRecord): number => Math.max(known.get(id) as number, arrivedMs)
  const endedMs = Math.min(...coverers.map(whenMs))
  let duty: Duty = 'keep'
  const atMost = (other: Duty): void => {
    if (duty === 'keep' || other === 'drop') duty = other
  }
  if (nowMs >= endedMs + days.least * DAY_MS - TOLERANCE_MS) atMost('either')
  if (nowMs >= endedMs + days.most * DAY_MS + AHEAD_MS_MAX + TOLERANCE_MS) atMost('drop')
  for (const purge of coverers.filter(item => item.purge)) {
    const purgedMs = known.get(purge.id) as number
    if (purge.isByAdmin) atMost('drop')
    else if (nowMs >= purgedMs + PURGE_WAIT_MS - TOLERANCE_MS) atMost(dutyAfter(purge, purgedMs))
  }
  function dutyAfter(purge: SeenRecord, purgedMs: number): Duty {
    const cancels = ofEntry.filter(item => item.cancel && covers(item.record, purge.record.stamp))
    const dueMs = purgedMs + PURGE_WAIT_MS
    if (cancels.some(({ id }) => (known.get(id) as number) < dueMs - TOLERANCE_MS)) return 'keep'
    return nowMs >= dueMs + AHEAD_MS_MAX + TOLERANCE_MS && cancels.length === 0 ? 'drop' : 'either'
  }
  if (duty === 'keep' && mayBeShort(version, coverers)) {
    const short = ofEntry.filter(item => isVersion(item) && mayBeShort(item, coverersOf(item, ofEntry)))
    if (short.length > SHORT_LIVED_MAX) return 'either'
  }
  return duty
}

function mayBeShort({ record }: SeenRecord, coverers: readonly SeenRecord[]): boolean {
  return coverers.some(
    ({ record: by }) =>
      equalBytes(by.stamp.author, record.stamp.author) &&
      hlcMs(by.stamp.hlc) - hlcMs(record.stamp.hlc) < SHORT_LIVED_MS + TOLERANCE_MS
  )
}
