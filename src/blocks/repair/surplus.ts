import { z } from 'zod'
import { type IndexDb, type IndexOp, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { decodeOwn, encodeCanonical } from '../../format/canonical.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { Clock } from '../../util/clock.ts'
import { isAbort } from '../../util/errors.ts'
import { Limiter } from '../../util/limiter.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { Worker } from '../../util/worker.ts'
import { isOutOfReach } from '../errors.ts'
import type { Claims } from '../hold/claims.ts'
import { fieldsOfRecord, recordFields, recordOfFields } from '../hold/record-codec.ts'
import { nameOfId } from '../log-names.ts'
import type { RecordRef } from '../record-ref.ts'
import { SURPLUS_AGAIN_MS, SURPLUS_LOOK_MS, SURPLUS_MS } from './constants.ts'
import type { CopyFreer } from './copy-freer.ts'
import { hasCome } from './due.ts'
import type { FreeGuard } from './free-guard.ts'
import { Pace } from './pace.ts'

export interface SurplusOptions {
  index: Pick<IndexDb, 'range' | 'has' | 'batch'>
  clock: Clock
  logger: ComponentLogger
  codec: NodeCodec
  claims: Pick<Claims, 'isReleased'>
  copyFreer: Pick<CopyFreer, 'free'>
  guard: Pick<FreeGuard, 'mayFreeCopies'>
  /** Returns true while this member is full. */
  isFull: () => boolean
  /** Returns true while this member works for somebody who waits. */
  isBusy: () => boolean
  onError: (error: unknown) => void
}

/** Surplus that could not be freed: the number of records, and those of their blocks that were looked at. */
export interface SurplusLeft {
  records: number
  blocks: number
  bytes: number
}

const rowSchema = z.object({ ...recordFields, due: z.number() })

/**
 * Frees chunks here that this member does not owe, such as those of its own puts, once the members that owe them prove
 * their copies: after `SURPLUS_MS`, or at once while this member is full. A walk says which records have such chunks
 * here, and the index has a row for each of these records.
 */
export class Surplus {
  readonly worker: Worker
  readonly #options: SurplusOptions
  readonly #log: Logger
  readonly #pace: Pace
  /** One look at a time. */
  readonly #turns = new Limiter(1)

  constructor(options: SurplusOptions) {
    const { clock, logger, onError } = options
    this.#options = options
    this.#log = logger.forComponent('dfs:blocks:free')
    this.#pace = new Pace(options)
    this.worker = new Worker({
      name: 'surplus',
      clock,
      log: this.#log,
      everyMs: SURPLUS_LOOK_MS,
      onError,
      work: signal => this.#turns.run(() => this.#look(signal), { signal })
    })
  }

  /** Returns the index changes that note, after a walk, whether a record has chunks here that are not owed. */
  async noteOps(record: RecordRef, hasSurplus: boolean): Promise<IndexOp[]> {
    const { index, clock } = this.#options
    const key = rowKey(record)
    const isNoted = await index.has(key)
    if (isNoted === hasSurplus) return []
    return [hasSurplus ? putOp(record, clock.now() + SURPLUS_MS) : { type: 'del', key }]
  }

  /** Frees all surplus that may go now, whatever its time, and without rests. Returns what could not be freed. */
  async run(signal: AbortSignal): Promise<SurplusLeft> {
    const left: SurplusLeft = { records: 0, blocks: 0, bytes: 0 }
    await this.#turns.run(() => this.#look(signal, left), { signal })
    return left
  }

  /** Yields the records that have surplus chunks here, and the time from which these may go. */
  async *noted(): AsyncGenerator<{ record: RecordRef; dueAtMs: number }> {
    const { index, codec, claims } = this.#options
    const table = indexKey(TABLES.surplus)
    for await (const { key, value } of index.range(table)) {
      const { due, ...fields } = rowSchema.parse(decodeOwn(value))
      const record = recordOfFields(key.subarray(table.byteLength), fields, codec.code)
      if (await claims.isReleased(record)) await index.batch([{ type: 'del', key }])
      else yield { record, dueAtMs: due }
    }
  }

  /** Looks at what is due; or, with `left`, at everything, and counts there what stays. */
  async #look(signal: AbortSignal, left?: SurplusLeft): Promise<void> {
    const { clock, guard, isFull } = this.#options
    for await (const { record, dueAtMs } of this.noted()) {
      if (signal.aborted || !guard.mayFreeCopies) return
      if (left === undefined && !hasCome(dueAtMs, clock.now(), SURPLUS_MS) && !isFull()) continue
      if (left !== undefined) await this.#free(record, signal, left)
      else await this.#pace.run(() => this.#free(record, signal), signal)
    }
  }

  /** Returns true, since nearly all of the time is spent waiting for other members. */
  async #free(record: RecordRef, signal: AbortSignal, left?: SurplusLeft): Promise<boolean> {
    const { index, clock, copyFreer } = this.#options
    let isDone = false
    try {
      const { blocks, bytes } = (await copyFreer.free(record, 'surplus', signal)).left
      isDone = blocks === 0
      if (left !== undefined) {
        left.blocks += blocks
        left.bytes += bytes
      }
    } catch (error) {
      if (isAbort(error) || !isOutOfReach(error)) throw error
      this.#log('record %s: could not look for surplus chunks: %s', nameOfId(record.id), reasonOf(error))
    }
    if (left !== undefined && !isDone) left.records++
    await index.batch([isDone ? { type: 'del', key: rowKey(record) } : putOp(record, clock.now() + SURPLUS_AGAIN_MS)])
    return true
  }
}

function putOp(record: RecordRef, dueAtMs: number): IndexOp {
  const value = encodeCanonical({ ...fieldsOfRecord(record), due: Math.floor(dueAtMs) })
  return { type: 'put', key: rowKey(record), value }
}

function rowKey({ id }: Pick<RecordRef, 'id'>): Uint8Array {
  return indexKey(TABLES.surplus, id)
}
