import { type IndexDb, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import type { BlockCid } from '../../format/cid.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import { batchesOf } from '../../util/batches.ts'
import type { Clock } from '../../util/clock.ts'
import { withDeadline } from '../../util/deadline.ts'
import { DeadlineError } from '../../util/errors.ts'
import { forEachUntilFailure } from '../../util/for-each.ts'
import { Limiter } from '../../util/limiter.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { Worker } from '../../util/worker.ts'
import type { ClaimingNodes } from '../hold/claiming-nodes.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import {
  decodeReleasedBlock,
  decodeReleasedRecord,
  RELEASED_BLOCKS,
  RELEASED_RECORDS,
  type ReleasedBlock,
  releasedBlockOp
} from '../hold/release-rows.ts'
import type { RecordRef } from '../record-ref.ts'
import { CATCH_UP_MS, SWEEP_MS } from './constants.ts'
import { hasCome } from './due.ts'
import { type Freer, IS_CLAIMED, UNREADABLE } from './freer.ts'
import { Pace } from './pace.ts'

export interface ReleaserOptions {
  clock: Clock
  logger: ComponentLogger
  codec: NodeCodec
  index: Pick<IndexDb, 'range' | 'hasAny' | 'batch'>
  local: Pick<LocalBlocks, 'whileLocked'>
  nodes: Pick<ClaimingNodes, 'ended' | 'forgetIfClaimed'>
  freer: Pick<Freer, 'execute'>
  /** Forgets what was still to be done for a released record. Returns false while the record is being walked. */
  forgetRecord: (record: RecordRef) => Promise<boolean>
  /** Resolves once the blocks of the records that have arrived so far are claimed by them. */
  caughtUp: () => Promise<void>
  /** Returns false while it is not certain which blocks are needed. */
  mayFree: () => boolean
  /** Returns true while this member works for somebody who waits. */
  isBusy: () => boolean
  onError: (error: unknown) => void
}

/** The released records or blocks that are looked at before the releaser rests, and how many of them at once. */
const RELEASES_PER_STEP = 256
const RELEASES_AT_ONCE = 32
/** How long the releaser waits before it asks the members again for a manifest node that nobody had. */
const RELEASE_AGAIN_MS = 24 * 60 * 60_000

/** What a round of the releaser did. */
export interface Released {
  freedBlocks: number
  /** The manifest nodes that stay, with all that only they claim, because nobody delivers them. */
  unreadableNodes: number
  /** True if released blocks are left because it is not certain which blocks are needed. */
  isStopped: boolean
}

/**
 * Frees what released records no longer need. It works from the top down, by rows of the index, so that its memory does
 * not grow with the size of a file, and so that it goes on after a restart where it stopped. It looks at the root of
 * each released record. It frees a block that it looks at if nothing claims the block. If the block is a manifest node,
 * its claims on the blocks below it end first, and the releaser looks at these blocks too. A block that something else
 * claims stays, with everything below it.
 */
export class Releaser {
  readonly worker: Worker
  readonly #options: ReleaserOptions
  readonly #log: Logger
  readonly #pace: Pace
  /** One round at a time. */
  readonly #turns = new Limiter(1)
  /** The number of callers that wait for the end of a round. While there are some, it does not rest. */
  #waiting = 0
  /** True if nodes that could not be read are tried again in the next round, as in the first one after a start. */
  #mustRetry = true
  #unreadableNodes = 0

  constructor(options: ReleaserOptions) {
    const { clock, logger, onError } = options
    this.#options = options
    this.#log = logger.forComponent('dfs:blocks:free')
    this.#pace = new Pace(options)
    this.worker = new Worker({
      name: 'freeing',
      clock,
      log: this.#log,
      everyMs: SWEEP_MS,
      onError,
      work: signal => this.#turns.run(() => this.#round(signal), { signal })
    })
  }

  /** The manifest nodes that stay because nobody could deliver them when they were last asked for. */
  get unreadableNodes(): number {
    return this.#unreadableNodes
  }

  /** Tries again to get the manifest nodes that could not be read. Call it when a member has connected. */
  retry(): void {
    if (this.#unreadableNodes === 0) return
    this.#mustRetry = true
    this.worker.wake()
  }

  /** Has blocks looked at to which no record refers although they were stored for one. Does not wait for that. */
  leave(cids: readonly BlockCid[]): void {
    this.#options.index.batch(cids.map(cid => releasedBlockOp(cid))).catch(error => {
      // After an unclean stop, the sweep finds them.
      this.#log('blocks that nothing claims stay until the next sweep: %d (%s)', cids.length, reasonOf(error))
    })
  }

  /** Frees, without rests, what may be freed now. */
  async run(signal: AbortSignal): Promise<Released> {
    this.#waiting++
    try {
      return await this.#turns.run(() => this.#round(signal), { signal })
    } finally {
      this.#waiting--
    }
  }

  async #round(signal: AbortSignal): Promise<Released> {
    const { index, nodes, mayFree } = this.#options
    const done: Released = { freedBlocks: 0, unreadableNodes: this.#unreadableNodes, isStopped: false }
    if (!(await index.hasAny(indexKey(TABLES.releases)))) return { ...done, unreadableNodes: this.#count(0) }
    await this.#caughtUp(signal)
    await this.#releaseRecords(signal)
    const withUnread = this.#mustRetry
    this.#mustRetry = false
    // Each pass also sees the blocks below the nodes that the pass before freed.
    for (let endedBefore = -1; nodes.ended !== endedBefore && !signal.aborted && mayFree(); ) {
      endedBefore = nodes.ended
      done.unreadableNodes = await this.#pass(done, withUnread, signal)
    }
    done.isStopped = !mayFree()
    if (!signal.aborted && !done.isStopped) this.#count(done.unreadableNodes)
    if (done.freedBlocks > 0) this.#log('freed blocks that nothing needs any more: %d', done.freedBlocks)
    if (done.isStopped) this.#log('frees nothing more: it is not certain which blocks are needed')
    return done
  }

  #count(unreadableNodes: number): number {
    this.#unreadableNodes = unreadableNodes
    return unreadableNodes
  }

  /**
   * Waits until the records that have just arrived have claimed what they share with the released ones. It does not
   * wait for long. So a record may have to pull a block again that is freed now.
   */
  async #caughtUp(signal: AbortSignal): Promise<void> {
    const { clock, caughtUp } = this.#options
    await withDeadline(clock, CATCH_UP_MS, signal, caughtUp).catch(error => {
      if (!(error instanceof DeadlineError)) throw error
    })
  }

  /** Has the roots of released records looked at. Nothing is freed here, so this does not wait for certainty. */
  async #releaseRecords(signal: AbortSignal): Promise<void> {
    const { index, codec, forgetRecord } = this.#options
    for await (const rows of batchesOf(index.range(RELEASED_RECORDS), RELEASES_PER_STEP)) {
      if (signal.aborted) return
      await this.#step(async () => {
        for (const { key, value } of rows) {
          const record = decodeReleasedRecord(key, value, codec.code)
          // The walk under way may still claim blocks for the record. This comes back to it.
          if (!(await forgetRecord(record))) continue
          await index.batch([
            { type: 'del', key },
            { type: 'del', key: indexKey(TABLES.surplus, record.id) },
            releasedBlockOp(record.root)
          ])
        }
      }, signal)
    }
  }

  /** Looks at each released block once. Returns the number of nodes that could not be read. */
  async #pass(done: Released, withUnread: boolean, signal: AbortSignal): Promise<number> {
    const { index, codec, clock, mayFree } = this.#options
    let unreadableNodes = 0
    for await (const rows of batchesOf(index.range(RELEASED_BLOCKS), RELEASES_PER_STEP)) {
      if (signal.aborted || !mayFree()) return unreadableNodes
      const blocks = rows.map(({ key, value }) => decodeReleasedBlock(key, value, codec.code))
      const nowMs = clock.now()
      const due = blocks.filter(({ triedAtMs }) => {
        return triedAtMs === 0 || withUnread || hasCome(triedAtMs + RELEASE_AGAIN_MS, nowMs, RELEASE_AGAIN_MS)
      })
      unreadableNodes += blocks.length - due.length
      await this.#step(
        () =>
          forEachUntilFailure(due, { atOnce: RELEASES_AT_ONCE, signal }, async block => {
            if (!(await this.#free(block, done))) unreadableNodes++
          }),
        signal
      )
    }
    return unreadableNodes
  }

  /** Frees a block if nothing claims it. Returns false if it is a node that cannot be read. */
  async #free({ cid }: ReleasedBlock, done: Released): Promise<boolean> {
    const { freer, local, nodes, index, clock } = this.#options
    const stays = await freer.execute({ reason: 'unclaimed', cid })
    if (stays === undefined) done.freedBlocks++
    else if (stays === IS_CLAIMED) await local.whileLocked(cid, () => nodes.forgetIfClaimed(cid))
    else if (stays === UNREADABLE) await index.batch([releasedBlockOp(cid, clock.now())])
    return stays !== UNREADABLE
  }

  /** Does a part of the work, and rests after it unless somebody waits for the end. */
  async #step(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    if (this.#waiting > 0) return work()
    await this.#pace.run(async () => {
      await work()
      return false
    }, signal)
  }
}
