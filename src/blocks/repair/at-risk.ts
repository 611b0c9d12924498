import { type IndexDb, type IndexOp, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { type BlockCid, blockKey, cidOfMultihash } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { decodeReplicas, encodeReplicas } from '../../format/replicas.ts'
import type { View } from '../../members/view.ts'
import { Backoff } from '../../util/backoff.ts'
import { batchesOf } from '../../util/batches.ts'
import { u32be } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { Limiter } from '../../util/limiter.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { Worker } from '../../util/worker.ts'
import { KEEP_CIDS_MAX, WALK_RETRY_MS, WALK_RETRY_MS_MAX } from '../constants.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import { Ranking } from '../rank.ts'
import type { RecordRef } from '../record-ref.ts'
import { Pace } from './pace.ts'

export interface AtRiskOptions {
  self: PeerId
  index: Pick<IndexDb, 'range' | 'has' | 'getMany' | 'batch'>
  clock: Clock
  logger: ComponentLogger
  local: Pick<LocalBlocks, 'has'>
  storeClient: Pick<StoreClient, 'hasBlocks'>
  ranking: () => Ranking
  /** Returns the members that may be asked now. */
  admitted: () => readonly PeerId[]
  /** Returns true while this member works for somebody who waits. */
  isBusy: () => boolean
  onError: (error: unknown) => void
}

/** A block whose copy here may be the only one. */
interface Risk {
  cid: BlockCid
  /** The number of copies that its record wants. */
  replicas: number
}

/**
 * Counts the blocks at risk: those blocks here of which no other copy is known any more. All other members that owed
 * such a block are out, and none of its present owners has confirmed it since. When members have gone out, the walk of
 * every record finds these blocks by rank alone. Then their new owners are asked, until one of them confirms each
 * block. The blocks are rows of the index. A block that no other member ever confirmed is not counted: it is owed, but
 * no copy of it has been lost.
 */
export class AtRisk {
  readonly worker: Worker
  readonly #options: AtRiskOptions
  readonly #log: Logger
  readonly #pace: Pace
  readonly #backoff = new Backoff({ minMs: WALK_RETRY_MS, maxMs: WALK_RETRY_MS_MAX })
  /** Changes of the rows follow one another, so that each block is counted once. */
  readonly #turns = new Limiter(1)
  #count = 0
  /** The ranking before members went out, and the members that went out; undefined if none did. */
  #lost: { before: Ranking; out: ReadonlySet<PeerId> } | undefined

  constructor(options: AtRiskOptions) {
    const { clock, logger, onError } = options
    this.#options = options
    this.#log = logger.forComponent('dfs:blocks:repair')
    this.#pace = new Pace(options)
    this.worker = new Worker({
      name: 'blocks at risk',
      clock,
      log: this.#log,
      everyMs: () => (this.#count > 0 ? this.#backoff.nextMs() : Number.POSITIVE_INFINITY),
      onError,
      work: signal => this.#askAll(signal)
    })
  }

  /** The number of blocks whose copy here is the only one that is known. */
  get blocks(): number {
    return this.#count
  }

  async start(): Promise<void> {
    for await (const _ of this.#options.index.range(indexKey(TABLES.atRisk))) this.#count++
    this.worker.start()
  }

  /** Asks at once. Call it when a member has connected or the view has changed. */
  retry(): void {
    this.#backoff.reset()
    if (this.#count > 0) this.worker.wake()
  }

  /** Notes the view before and the view after the change for which every record is walked from now on. */
  beginRound(before: View | undefined, now: View): void {
    const isIn = new Set(now.members.filter(({ isOut }) => !isOut).map(({ peer }) => peer))
    const out = (before?.members ?? []).filter(({ peer, isOut }) => !isOut && !isIn.has(peer)).map(({ peer }) => peer)
    this.#lost =
      before === undefined || out.length === 0 ? undefined : { before: new Ranking(before), out: new Set(out) }
  }

  /**
   * Notes which of these blocks of a record have no other copy left. All of them must be here. Part of a walk of all
   * records.
   */
  async noteHere(record: RecordRef, blocks: readonly BlockCid[]): Promise<void> {
    const { index } = this.#options
    const alone = blocks.filter(cid => this.#isAlone(cid, record.replicas))
    // Its copies were never all confirmed, so they are still counted as owed.
    if (alone.length === 0 || (await index.has(indexKey(TABLES.hints, record.id)))) return
    await this.#turns.run(async () => {
      const known = await index.getMany(alone.map(rowKey))
      const fresh = new Map(alone.filter((_, i) => known[i] === undefined).map(cid => [blockKey(cid), cid]))
      const value = u32be(encodeReplicas(record.replicas))
      await index.batch([...fresh.values()].map((cid): IndexOp => ({ type: 'put', key: rowKey(cid), value })))
      this.#count += fresh.size
    })
    this.worker.schedule()
  }

  /** Forgets a block that has been freed because nothing needs it. */
  async forget(cid: BlockCid): Promise<void> {
    if (this.#count === 0) return
    await this.#turns.run(async () => {
      if (!(await this.#options.index.has(rowKey(cid)))) return
      await this.#options.index.batch([{ type: 'del', key: rowKey(cid) }])
      this.#count--
    })
  }

  #isAlone({ multihash }: BlockCid, replicas: number): boolean {
    if (this.#lost === undefined) return false
    const { before, out } = this.#lost
    const others = before.owners(multihash.digest, replicas).filter(({ peer }) => peer !== this.#options.self)
    return others.length > 0 && others.every(({ peer }) => out.has(peer))
  }

  async #askAll(signal: AbortSignal): Promise<void> {
    const before = this.#count
    const peers = new Set(this.#options.admitted().filter(peer => peer !== this.#options.self))
    for await (const risks of batchesOf(this.#risks(), KEEP_CIDS_MAX)) {
      if (signal.aborted || peers.size === 0) return
      // Rest although this step mostly waits, because the members that it waits for do the work.
      await this.#pace.run(async () => {
        await this.#ask(risks, peers)
        return false
      }, signal)
    }
    if (this.#count < before) this.#backoff.reset()
    this.#log('blocks of which the only known copy is here: %d, before: %d', this.#count, before)
  }

  async *#risks(): AsyncGenerator<Risk> {
    const table = indexKey(TABLES.atRisk)
    for await (const { key, value } of this.#options.index.range(table)) {
      const cid = cidOfMultihash(key.subarray(table.byteLength))
      yield { cid, replicas: decodeReplicas(Buffer.from(value).readUInt32BE()) }
    }
  }

  /**
   * Asks those of `peers` that owe some of the blocks, and forgets the blocks that one of them has. Removes a member that
   * does not answer from `peers`, so that it is waited for only once.
   */
  async #ask(risks: readonly Risk[], peers: Set<PeerId>): Promise<void> {
    const { index, ranking, storeClient, local } = this.#options
    const safe = new Set<Risk>()
    for (const risk of risks) if (!(await local.has(risk.cid))) safe.add(risk)
    const order = ranking()
    for (const peer of peers) {
      const asked = risks.filter(
        risk => !safe.has(risk) && order.isOwner(peer, risk.cid.multihash.digest, risk.replicas)
      )
      if (asked.length === 0) continue
      try {
        const has = await storeClient.hasBlocks(
          peer,
          asked.map(({ cid }) => cid)
        )
        for (const [i, risk] of asked.entries()) if (has[i] === true) safe.add(risk)
      } catch (error) {
        peers.delete(peer)
        this.#log('%s did not say which blocks it has: %s', peer, reasonOf(error))
      }
    }
    await this.#turns.run(async () => {
      await index.batch([...safe].map(({ cid }): IndexOp => ({ type: 'del', key: rowKey(cid) })))
      this.#count -= safe.size
    })
  }
}

function rowKey({ multihash }: BlockCid): Uint8Array {
  return indexKey(TABLES.atRisk, multihash.bytes)
}
