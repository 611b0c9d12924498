import { Blocks } from '../../blocks/blocks.ts'
import type { IndexDb } from '../../disk/index-db.ts'
import { IndexOps } from '../../disk/index-sink.ts'
import type { Stamp } from '../../format/stamp.ts'
import type { Log } from '../../log/log.ts'
import { NO_BYTES } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import type { ComponentLogger, Logger } from '../../util/logger.ts'
import { SteadyClock } from '../../util/steady-clock.ts'
import { Worker } from '../../util/worker.ts'
import { EXPIRE_EVERY_MS, VERSION_NEWS_MS, VERSIONS_AT_ONCE } from '../constants.ts'
import { recordsOf, stampOfRecord, waitingRecordsOf, writtenOfWaiting } from '../rows/keys.ts'
import { decodeRecordRow } from '../rows/record-rows.ts'
import {
  carrierKey,
  duePurgePrefix,
  endedPrefix,
  newsKey,
  subjectOfNews,
  timedSubject,
  versionOfCarrier
} from './keys.ts'
import { VersionBatch, type VersionBatchOptions } from './version-batch.ts'

export interface RetentionOptions extends Pick<VersionBatchOptions, 'depthOf'> {
  index: IndexDb
  log: Pick<Log, 'alone' | 'forgetIn'>
  clock: Clock
  logger: ComponentLogger
  /** How long a version is kept after its end, in ms, according to the settings of the network. */
  keptMs: () => number
  /** Returns true if our clock agrees with the clocks of the others, as far as we know. */
  isClockRight: () => boolean
  /** Called when records have been released. */
  onReleased: () => void
  onError: (error: unknown) => void
}

/**
 * Decides how long versions are kept, and releases the records of those that are not: they expire some time after their
 * end, a purge ends them, and of short-lived ones only the last of each file are kept. The projection has noted where to
 * look. Nothing here runs while records are being projected, so each decision rests on all records that have arrived.
 *
 * Time ends a version only while the clock has run evenly for a while and agrees with those of other members.
 */
export class Retention {
  readonly worker: Worker
  readonly #options: RetentionOptions
  readonly #log: Logger
  readonly #clock: SteadyClock
  #hasNews = false

  constructor(options: RetentionOptions) {
    const { clock, logger, onError } = options
    this.#options = options
    this.#log = logger.forComponent('dfs:catalog:versions')
    this.#clock = new SteadyClock(clock)
    this.worker = new Worker({
      name: 'file versions',
      clock,
      log: this.#log,
      everyMs: EXPIRE_EVERY_MS,
      firstMs: 0,
      onError,
      work: async signal => {
        if (this.#hasNews) await clock.sleep(VERSION_NEWS_MS, signal)
        this.#hasNews = false
        await this.look(signal)
      }
    })
  }

  /** Says that there may be news about versions. */
  noteNews(): void {
    this.#hasNews = true
    this.worker.wake()
  }

  /** Looks at all versions about which there is news, and at those whose time may be over. */
  async look(signal?: AbortSignal): Promise<void> {
    const isSteady = this.#clock.isSteady()
    const mayExpire = isSteady && this.#options.isClockRight()
    if (mayExpire) await this.#findDuePurges(signal)
    await this.#inBatches(signal, mayExpire, batch => this.#lookAtNews(batch))
    if (mayExpire) await this.#inBatches(signal, mayExpire, batch => this.#expireSome(batch))
  }

  /** Runs `work` in one batch after another, until it returns that nothing is left. */
  async #inBatches(
    signal: AbortSignal | undefined,
    mayExpire: boolean,
    work: (batch: VersionBatch) => Promise<boolean>
  ): Promise<void> {
    const { index, log, depthOf, clock, keptMs, onReleased } = this.#options
    let [dropped, released, isLeft] = [0, 0, true]
    while (isLeft) {
      signal?.throwIfAborted()
      await log.alone(async () => {
        const batch = new VersionBatch({ index, depthOf, nowMs: clock.now(), keptMs: keptMs(), mayExpire })
        isLeft = await work(batch)
        const ops = new IndexOps()
        ops.addAll(batch.ops)
        const forgotten = await log.forgetIn(ops, batch.forgettable, item => batch.mayForget(item))
        // That a record was forgotten says that it was released.
        for (const id of forgotten) ops.del(Blocks.releasedKey(id))
        await index.batch(ops.all)
        dropped += batch.dropped
        released += batch.released
      })
      // Let other work run: nearly all reads of the index resolve in the same turn of the event loop.
      await new Promise(resolve => setImmediate(resolve))
    }
    if (dropped + released > 0)
      this.#log('versions that are no longer kept: %d; records released: %d', dropped, released)
    if (released > 0) onReleased()
  }

  async #lookAtNews(batch: VersionBatch): Promise<boolean> {
    const { index } = this.#options
    let count = 0
    for await (const { key, value } of index.range(newsKey(), { limit: VERSIONS_AT_ONCE })) {
      const { entry, written } = subjectOfNews(key)
      if (written === undefined) batch.addAll(await this.#newsOfEntry(entry, value))
      else await batch.look(entry, written)
      count++
    }
    return count > 0
  }

  /**
   * Returns the changes that turn news about an entry into news about each of its versions, for a limited number of
   * them. `after` is the last row that was done.
   */
  async #newsOfEntry(entry: Uint8Array, after: Uint8Array): Promise<IndexOps['all']> {
    const { index } = this.#options
    const ops = new IndexOps()
    let [left, last] = [VERSIONS_AT_ONCE, after]
    const sources = sourcesOf(entry)
    const first = Math.max(
      0,
      sources.findIndex(({ prefix }) => prefix[0] === after[0])
    )
    for (const { prefix, versionOf } of sources.slice(first)) {
      if (left === 0) break
      for await (const { key, value } of index.range(prefix, {
        after: last[0] === prefix[0] ? last : undefined,
        limit: left
      })) {
        const written = versionOf(key, value)
        if (written !== undefined) ops.put(newsKey(entry, written), NO_BYTES)
        last = key
        left--
      }
    }
    if (left > 0) ops.del(newsKey(entry))
    else ops.put(newsKey(entry), last)
    return ops.all
  }

  async #expireSome(batch: VersionBatch): Promise<boolean> {
    const { index, clock, keptMs } = this.#options
    const beforeMs = clock.now() - keptMs()
    let count = 0
    for await (const { key } of index.range(endedPrefix(), { limit: VERSIONS_AT_ONCE })) {
      const { atMs, entry, written } = timedSubject(key)
      if (atMs > beforeMs || written === undefined) return false
      await batch.expire(entry, written, atMs)
      count++
    }
    return count === VERSIONS_AT_ONCE
  }

  /** Turns the purges that take effect now into news about their entries. */
  async #findDuePurges(signal: AbortSignal | undefined): Promise<void> {
    const { index, log, clock } = this.#options
    const nowMs = clock.now()
    for (let isLeft = true; isLeft; ) {
      signal?.throwIfAborted()
      isLeft = false
      await log.alone(async () => {
        const ops = new IndexOps()
        for await (const { key } of index.range(duePurgePrefix(), { limit: VERSIONS_AT_ONCE })) {
          const { atMs, entry } = timedSubject(key)
          isLeft = atMs <= nowMs
          if (!isLeft) break
          ops.del(key)
          ops.put(newsKey(entry), NO_BYTES)
        }
        await index.batch(ops.all)
      })
    }
  }
}

/** Rows of an entry that are about its versions. */
interface Source {
  prefix: Uint8Array
  versionOf: (key: Uint8Array, value: Uint8Array) => Stamp | undefined
}

/** Returns where all versions of an entry are found: by the records that wrote them, carry them, or wait for them. */
function sourcesOf(entry: Uint8Array): Source[] {
  const writtenBy = (key: Uint8Array, value: Uint8Array): Stamp | undefined => {
    const { stamp, isTwin } = stampOfRecord(key)
    return isTwin || !decodeRecordRow(value).wrote ? undefined : stamp
  }
  return [
    { prefix: recordsOf(entry), versionOf: writtenBy },
    { prefix: carrierKey(entry), versionOf: versionOfCarrier },
    { prefix: waitingRecordsOf(entry), versionOf: writtenOfWaiting }
  ]
}
