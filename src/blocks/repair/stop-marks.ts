import { type IndexDb, type IndexOp, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { u64be, utf8 } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { HOLD_MS } from '../constants.ts'
import { ORPHANS_WAIT_MS } from './constants.ts'

/**
 * Marks of earlier stops that a start must observe. They are in the index, so that they survive any number of restarts.
 */
export interface StopMarks {
  /**
   * The wall-clock time from which blocks that nothing claims may be freed; undefined if there can be none. Until then,
   * a put may still count on a claim that the index has lost.
   */
  orphansFromAtMs: number | undefined
  /** How long promises of an earlier process to other members may still last, in milliseconds. */
  promisedMs: number
}

const ORPHANS_KEY = indexKey(TABLES.meta, utf8('orphans'))
const PROMISED_KEY = indexKey(TABLES.meta, utf8('promised'))

/**
 * Reads the marks of earlier stops. After an unclean stop, whose moment is not known, it replaces them with marks that
 * count from this start. Both marks are wall-clock times, like the ends of claims of puts. If the clock was set back, a
 * mark may lie further ahead than is ever valid. Such a mark is shortened.
 */
export async function loadStopMarks(
  index: Pick<IndexDb, 'getMany' | 'batch'>,
  clock: Clock,
  { wasClean }: { wasClean: boolean }
): Promise<StopMarks> {
  const nowAtMs = Math.floor(clock.now())
  const latest = { orphansAtMs: nowAtMs + ORPHANS_WAIT_MS, promisedAtMs: nowAtMs + HOLD_MS }
  if (!wasClean) {
    await index.batch([timeOp(ORPHANS_KEY, latest.orphansAtMs), timeOp(PROMISED_KEY, latest.promisedAtMs)])
    return { orphansFromAtMs: latest.orphansAtMs, promisedMs: HOLD_MS }
  }
  const [orphans, promised] = await index.getMany([ORPHANS_KEY, PROMISED_KEY])
  const orphansFromAtMs = orphans === undefined ? undefined : Math.min(timeOf(orphans), latest.orphansAtMs)
  const promisedAtMs = promised === undefined ? nowAtMs : Math.min(timeOf(promised), latest.promisedAtMs)
  return { orphansFromAtMs, promisedMs: Math.max(0, promisedAtMs - nowAtMs) }
}

/** Notes that the blocks that nothing claimed have been freed. */
export async function endOrphans(index: Pick<IndexDb, 'batch'>): Promise<void> {
  await index.batch([{ type: 'del', key: ORPHANS_KEY }])
}

/** Notes, at a stop, how long the promises of this process last. */
export async function notePromised(index: Pick<IndexDb, 'batch'>, clock: Clock, promisedMs: number): Promise<void> {
  await index.batch([
    promisedMs > 0 ? timeOp(PROMISED_KEY, Math.ceil(clock.now() + promisedMs)) : { type: 'del', key: PROMISED_KEY }
  ])
}

function timeOp(key: Uint8Array, atMs: number): IndexOp {
  return { type: 'put', key, value: u64be(atMs) }
}

function timeOf(value: Uint8Array): number {
  return Number(Buffer.from(value).readBigUInt64BE())
}
