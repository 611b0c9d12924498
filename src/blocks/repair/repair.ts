import { NoSpaceError } from '../../disk/errors.ts'
import { type IndexDb, type IndexOp, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import type { BlockCid } from '../../format/cid.ts'
import { CHUNK_BYTES } from '../../format/constants.ts'
import { FormatError } from '../../format/errors.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { Batcher } from '../../util/batcher.ts'
import type { Clock } from '../../util/clock.ts'
import { isAbort } from '../../util/errors.ts'
import { Limiter } from '../../util/limiter.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import type { Worker } from '../../util/worker.ts'
import { EVICTED_MS, WALK_PULLS } from '../constants.ts'
import { isOutOfReach } from '../errors.ts'
import type { Fetcher } from '../fetch/fetcher.ts'
import type { BlockPuller } from '../fetch/puller.ts'
import type { Claims, PutId } from '../hold/claims.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import type { Referrers } from '../hold/reference-lookup.ts'
import { listOf, nameOf, nameOfId } from '../log-names.ts'
import { isAny, isChunk, type ManifestBlock, type ManifestChunk, walkBatches } from '../manifest-walk.ts'
import type { Ranking } from '../rank.ts'
import type { RecordRef } from '../record-ref.ts'
import { EvictedBlocks } from './evicted-blocks.ts'
import { mostWanting, recordToWalk } from './needing-record.ts'
import { RepairQueue } from './queue.ts'
import { recordReferenceOps, referenceOf, unwalkedKey } from './record-rows.ts'
import type { WalkOutcome } from './walk-outcome.ts'

export interface RepairOptions {
  self: PeerId
  clock: Clock
  logger: ComponentLogger
  codec: NodeCodec
  index: IndexDb
  local: LocalBlocks
  claims: Claims
  fetcher: Fetcher
  puller: BlockPuller
  ranking: () => Ranking
  /** Returns the puts whose claims on a file end once its references are written. */
  takeLinkedPuts: (root: BlockCid) => PutId[]
  /** Yields every record that has blocks. */
  records: () => AsyncIterable<RecordRef>
  onError: (error: unknown) => void
}

/**
 * Brings the blocks here that this member owes. It walks the manifest of each record, claims the blocks that are here,
 * and pulls those that it owes and lacks; every member owes all manifest nodes. If a walk leaves blocks missing, it is
 * repeated until none are missing. It frees nothing: the evictor and the sweeper do that, and ask here whether it is
 * certain which blocks are needed.
 */
export class Repair {
  readonly #options: RepairOptions
  readonly #log: Logger
  readonly #queue: RepairQueue
  readonly #evicted: EvictedBlocks
  readonly #slots = new Limiter(WALK_PULLS)
  readonly #ops: Batcher<readonly IndexOp[], null>
  readonly #stopped = new AbortController()
  #pulling = 0

  constructor(options: RepairOptions) {
    const { clock, logger, index, records, onError } = options
    this.#options = options
    this.#log = logger.forComponent('dfs:blocks:repair')
    this.#evicted = new EvictedBlocks(index)
    this.#queue = new RepairQueue({
      clock,
      logger,
      walk: record => this.#walk(record),
      records,
      isUnfinished: ({ id }) => index.has(unwalkedKey(id)),
      hasUnfinished: () => index.hasAny(indexKey(TABLES.unwalked)),
      onError
    })
    this.#ops = new Batcher<readonly IndexOp[], null>(
      async groups => {
        await index.batch(groups.flat())
        return groups.map(() => null)
      },
      { itemsMax: 1024 }
    )
  }

  get worker(): Worker {
    return this.#queue.worker
  }

  /** Walks records that have just been accepted. */
  enqueue(records: readonly RecordRef[]): void {
    for (const record of records) this.#queue.add(record)
  }

  /** Walks every record once, since this member still owes the blocks that it owed when it stopped. */
  start(): Promise<void> {
    return this.#queue.start()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#queue.stop()
    await this.#ops.settled()
  }

  /** Immediately walks the records that have missing blocks. Call it when a member connects or the view changes. */
  retry(): void {
    this.#queue.retry()
  }

  /** Resolves once every record that has been accepted by now has been walked. */
  caughtUp(): Promise<void> {
    return this.#queue.caughtUp()
  }

  /**
   * False while there may be blocks here that a record needs and that nothing claims yet, because the record has not
   * been walked or a node of its manifest cannot be obtained. During that time nothing may be freed.
   */
  get isCertain(): boolean {
    return this.#queue.isCertain
  }

  /** True once every record that was in the log at the start has been walked since. */
  get hasWalkedAll(): boolean {
    return this.#queue.hasWalkedAll
  }

  /** The blocks that this member owes and lacks. `bytes` is an upper bound, since a sealed block hides its size. */
  get owed(): { blocks: number; bytes: number } {
    const { missingBlocks } = this.#queue
    return { blocks: missingBlocks, bytes: missingBlocks * CHUNK_BYTES }
  }

  /** The blocks that are being pulled at this moment. `bytes` is an upper bound. */
  get repairing(): { blocks: number; bytes: number } {
    return { blocks: this.#pulling, bytes: this.#pulling * CHUNK_BYTES }
  }

  /**
   * Notes that this member is about to evict a chunk. After `EVICTED_MS`, this member owes the chunk again to each
   * record that needs it and wants a copy here.
   */
  async markEvicted(cid: BlockCid, referrers: Referrers): Promise<void> {
    const owedAgainAtMs = Math.floor(this.#options.clock.now() + EVICTED_MS)
    await this.#evicted.add(cid, owedAgainAtMs)
    for (const record of referrers.records)
      this.#queue.addLater(recordToWalk(cid, record, this.#options), owedAgainAtMs)
  }

  /** Notes that a block here was found bad. Soon a record that needs it is walked, which pulls it again if it is owed. */
  noteBad(cid: BlockCid): void {
    const { clock } = this.#options
    mostWanting(cid, this.#options).then(
      record => record !== undefined && this.#queue.addLater(record, Math.floor(clock.now())),
      error => this.#log('could not look for a record that needs the bad block %s: %s', nameOf(cid), reasonOf(error))
    )
  }

  /** Stores a block read from another member, if a record needs it here. If it was evicted, it is now owed again. */
  async keepIfClaimed(cid: BlockCid, bytes: Uint8Array): Promise<void> {
    const { local, claims } = this.#options
    if (!(await claims.isReferenced(cid.multihash.bytes))) return
    await local.keep(cid, bytes)
    await this.#evicted.remove(cid)
    this.#log.trace('kept block %s, which was read from another member', nameOf(cid))
  }

  /** Claims the blocks that a record needs here, and pulls those that are owed and not here. Counts what is missing. */
  async #walk(record: RecordRef): Promise<WalkOutcome> {
    const { claims, index } = this.#options
    const { signal } = this.#stopped
    const outcome: WalkOutcome = { missingChunks: 0, missingNodes: 0, owedAgainAtMs: Number.POSITIVE_INFINITY }
    const pulls = new Set<Promise<void>>()
    const pulled = new Map<PeerId, number>()
    this.#log.trace('walking record %s', nameOfId(record.id))
    if (!(await claims.hasRecord(record))) {
      if (record.isAside !== true) throw index.reportCorrupt('the index lacks the claim of a record')
      await this.#ops.add(recordReferenceOps(record))
    }
    for await (const batch of this.#batches(record, outcome))
      for (const { cid } of await this.#claimHeld(record, batch, outcome)) {
        const free = await this.#slots.acquire(1, signal)
        const pull = this.#pull(record, cid, outcome, pulled).finally(() => {
          free()
          pulls.delete(pull)
        })
        // The pull rejects only when the node stops, and then the walk fails too.
        pull.catch(() => {})
        pulls.add(pull)
      }
    await Promise.all(pulls)
    signal.throwIfAborted()
    if (outcome.missingNodes + outcome.missingChunks === 0) await this.#finish(record)
    this.#logWalk(record, outcome, pulled)
    return outcome
  }

  /** Logs a walk that pulled blocks or found some missing. `pulled` counts chunks by the member that they came from. */
  #logWalk({ id }: RecordRef, { missingChunks, missingNodes }: WalkOutcome, pulled: ReadonlyMap<PeerId, number>): void {
    if (!this.#log.enabled) return
    const record = nameOfId(id)
    const sources = [...pulled].map(([peer, count]) => `${peer}: ${count}`)
    if (sources.length > 0) this.#log('record %s: pulled chunks from %s', record, listOf(sources))
    if (missingChunks + missingNodes === 0) this.#log.trace('record %s: nothing is missing', record)
    else this.#log('record %s: missing chunks: %d, missing manifest nodes: %d', record, missingChunks, missingNodes)
  }

  /** Yields the chunks of a record. If a manifest node cannot be obtained, it stops and says so in the outcome. */
  #batches(record: RecordRef, outcome: WalkOutcome): AsyncGenerator<ManifestChunk[]> {
    return walkBatches({
      root: record.root,
      readNode: (cid, parent) => this.#node(record, cid, parent),
      codec: this.#options.codec,
      select: isChunk,
      onCutShort: error => {
        this.#log('record %s: cannot walk its whole manifest: %s', nameOfId(record.id), reasonOf(error))
        if (isOutOfReach(error) || error instanceof NoSpaceError) outcome.missingNodes++
        // Nothing below a node that breaks the format can be reached. All blocks that were reached have been claimed.
        else if (!(error instanceof FormatError)) throw error
      }
    })
  }

  /** Ends the claims of puts now that references replace them, and removes the mark that the record is to be walked. */
  async #finish({ id, root }: RecordRef): Promise<void> {
    const { codec, local, claims, takeLinkedPuts } = this.#options
    const puts = takeLinkedPuts(root)
    // The last changes go into the batch that removes the record's mark. For most files it is the only batch.
    let endOps: IndexOp[] = []
    if (puts.length > 0) {
      const readNode = (cid: BlockCid): Promise<Uint8Array> => local.getOrThrow(cid)
      for await (const batch of walkBatches({ root, readNode, codec, select: isAny })) {
        // The keeper may have stored a block after the walk passed it, so claim it now. The record claims its root.
        await Promise.all(batch.map(block => block.parent !== null && this.#claimIfHere(block)))
        if (endOps.length > 0) await this.#ops.add(endOps)
        const multihashes = batch.map(({ cid }) => cid.multihash.bytes)
        endOps = (await Promise.all(puts.map(put => claims.endOps(put, multihashes)))).flat()
      }
    }
    await this.#ops.add([...endOps, { type: 'del', key: unwalkedKey(id) }])
  }

  /** Returns a manifest node, from disk or another member. Every member keeps these, so it is claimed and stored. */
  async #node({ author }: RecordRef, cid: BlockCid, parent: Uint8Array | null): Promise<Uint8Array> {
    const { local, fetcher, self } = this.#options
    if (parent !== null) await this.#ops.add([referenceOf(cid, parent)])
    const { signal } = this.#stopped
    const { bytes, from } = await fetcher.fetch(cid, { signal, prefer: [author], once: true })
    if (from !== self) await local.keep(cid, bytes)
    return bytes
  }

  /** Claims the chunks that are here or owed. Returns those that are owed, are not here, and should be pulled now. */
  async #claimHeld(record: RecordRef, batch: readonly ManifestChunk[], outcome: WalkOutcome): Promise<ManifestChunk[]> {
    const { self, ranking, clock } = this.#options
    const order = ranking()
    const isHere = await Promise.all(batch.map(chunk => this.#claimIfHere(chunk)))
    const owed = batch.filter(({ cid }, i) => !isHere[i] && order.isOwner(self, cid.multihash.digest, record.replicas))
    if (owed.length === 0) return []
    await this.#ops.add(owed.flatMap(({ cid, parent }) => (parent === null ? [] : [referenceOf(cid, parent)])))
    const owedAgainAtMs = await this.#evicted.owedAgainAtMs(owed.map(({ cid }) => cid))
    const nowAtMs = clock.now()
    for (const atMs of owedAgainAtMs) if (atMs > nowAtMs) outcome.owedAgainAtMs = Math.min(outcome.owedAgainAtMs, atMs)
    return owed.filter((_, i) => (owedAgainAtMs[i] as number) <= nowAtMs)
  }

  /** Writes a block's reference if the block is here. Returns true if the block is here. */
  #claimIfHere({ cid, parent }: ManifestBlock): Promise<boolean> {
    const { local } = this.#options
    // The record itself claims its root.
    if (parent === null) return local.has(cid)
    return local.claimIfHere(cid, async () => {
      await this.#ops.add([referenceOf(cid, parent)])
    })
  }

  async #pull({ author }: RecordRef, cid: BlockCid, outcome: WalkOutcome, pulled: Map<PeerId, number>): Promise<void> {
    const { puller, onError } = this.#options
    this.#pulling++
    try {
      const from = await puller.pull(cid, { signal: this.#stopped.signal, prefer: [author], once: true })
      pulled.set(from, (pulled.get(from) ?? 0) + 1)
      this.#log.trace('pulled block %s, which was owed here', nameOf(cid))
    } catch (error) {
      if (isAbort(error)) throw error
      // At its end, the walk logs how many blocks are missing.
      this.#log.trace('could not pull block %s: %s', nameOf(cid), reasonOf(error))
      if (!isOutOfReach(error) && !(error instanceof NoSpaceError)) onError(error)
      outcome.missingChunks++
    } finally {
      this.#pulling--
    }
  }
}
