import { NoSpaceError } from '../../disk/errors.ts'
import { type IndexDb, type IndexOp, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { type BlockCid, cidOfMultihash } from '../../format/cid.ts'
import { CHUNK_BYTES } from '../../format/constants.ts'
import { FormatError } from '../../format/errors.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { Batcher } from '../../util/batcher.ts'
import { equalBytes, fromHex, u64be } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { isAbort } from '../../util/errors.ts'
import { Limiter } from '../../util/limiter.ts'
import { EVICTED_MS, WALK_BATCH, WALK_PULLS } from '../constants.ts'
import { BlockUnreachableError } from '../errors.ts'
import type { Fetcher } from '../fetch/fetcher.ts'
import { Claims, type PutId } from '../hold/claims.ts'
import { isOutOfReach } from '../hold/keeper.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import type { Referrers } from '../hold/reference-lookup.ts'
import { type ManifestBlock, walkManifest } from '../manifest-walk.ts'
import type { Ranking } from '../rank.ts'
import type { RecordRef } from '../record-ref.ts'
import { type Lacking, RepairQueue } from './queue.ts'

export interface RepairOptions {
  self: PeerId
  clock: Clock
  codec: NodeCodec
  index: IndexDb
  local: LocalBlocks
  claims: Claims
  fetcher: Fetcher
  pulls: Limiter
  ranking: () => Ranking
  /** Puts whose claims on a file end once its references are made. */
  takeEnded: (root: BlockCid) => PutId[]
  /** Every record that has blocks. */
  all: () => AsyncIterable<RecordRef>
  onError: (error: unknown) => void
}

/**
 * What this member owes, record by record: it walks each manifest, claims what it holds, and pulls what it owes and
 * lacks. Manifest nodes everyone owes. A walk that cannot finish is taken up again until it can.
 */
export class Repair {
  readonly #options: RepairOptions
  readonly #queue: RepairQueue
  readonly #pulls = new Limiter(WALK_PULLS)
  readonly #ops: Batcher<readonly IndexOp[], null>
  readonly #stopped = new AbortController()
  #pulling = 0

  constructor(options: RepairOptions) {
    const { clock, index, all, onError } = options
    this.#options = options
    this.#queue = new RepairQueue({
      clock,
      walk: record => this.#walk(record),
      all,
      isUnfinished: ({ id }) => index.has(todoKey(id)),
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

  /** The changes to the index by which a record claims its root, and is to be walked. For the record's own batch. */
  static opsFor({ id, root, replicas }: Pick<RecordRef, 'id' | 'root' | 'replicas'>): IndexOp[] {
    return [
      Claims.reference(root.multihash.bytes, { by: 'record', id, replicas }),
      { type: 'put', key: todoKey(id), value: new Uint8Array(0) }
    ]
  }

  /** Walks records that have just come to stand. */
  enqueue(records: readonly RecordRef[]): void {
    for (const record of records) this.#queue.add(record)
  }

  /** Walks everything once, in the background: what was owed when this member stopped, it still owes. */
  start(): Promise<void> {
    return this.#queue.start()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#queue.stop()
    await this.#ops.settled()
  }

  /** Takes up again what could not be finished: a member came, or there is room. */
  retry(): void {
    this.#queue.retry()
  }

  /** Resolves once every record that stands by now has been walked. */
  caughtUp(): Promise<void> {
    return this.#queue.caughtUp()
  }

  /**
   * False while there may be blocks here that a record needs and that nothing claims yet: it has not been walked, or a
   * node of its manifest cannot be had. Then nothing may be freed.
   */
  get isCertain(): boolean {
    return this.#queue.isCertain
  }

  /** What this member itself lacks of what it owes; the bytes are an upper bound, since sizes are under the seal. */
  get owed(): { blocks: number; bytes: number } {
    const { blocks } = this.#queue
    return { blocks, bytes: blocks * CHUNK_BYTES }
  }

  /** What is being pulled at this moment. */
  get repairing(): { blocks: number; bytes: number } {
    return { blocks: this.#pulling, bytes: this.#pulling * CHUNK_BYTES }
  }

  /**
   * Notes that this member gives its copy of a chunk away: after a while it is owed again, by whichever of the records
   * that need it wants a copy here.
   */
  async markEvicted(cid: BlockCid, referrers: Referrers): Promise<void> {
    const { clock, codec, index, self } = this.#options
    const until = Math.floor(clock.now() + EVICTED_MS)
    await index.batch([{ type: 'put', key: evictedKey(cid), value: u64be(until) }])
    for (const [id, { root, replicas }] of referrers.records) {
      const rootCid = equalBytes(root, cid.multihash.bytes) ? cid : cidOfMultihash(root, codec.code)
      // Its author is only whom to ask first.
      this.#queue.addLater({ id: fromHex(id), root: rootCid, replicas, author: self }, until)
    }
  }

  /** Something was read that is claimed here and was not on disk: it is owed again, and this is the moment to keep it. */
  async keepIfClaimed(cid: BlockCid, bytes: Uint8Array): Promise<void> {
    const { local, claims, index } = this.#options
    if (!(await claims.isReferenced(cid.multihash.bytes))) return
    await local.keep(cid, bytes, async () => {})
    await index.batch([{ type: 'del', key: evictedKey(cid) }])
  }

  /** Claims what a record needs of this member, and pulls what is not here. Gives what could not be had. */
  async #walk(record: RecordRef): Promise<Lacking> {
    const { signal } = this.#stopped
    const lacking: Lacking = { blocks: 0, nodes: 0, owedAgainAtMs: Number.POSITIVE_INFINITY }
    const pulls = new Set<Promise<void>>()
    let batch: ManifestBlock[] = []
    const flush = async (): Promise<void> => {
      const missing = await this.#claimHeld(record, batch, lacking)
      batch = []
      for (const { cid } of missing) {
        const release = await this.#pulls.acquire(1, signal)
        const pull = this.#pull(record, cid, signal)
          .then(isHere => {
            if (!isHere) lacking.blocks++
          })
          .finally(() => {
            release()
            pulls.delete(pull)
          })
        pull.catch(() => {})
        pulls.add(pull)
      }
    }
    try {
      const readNode = (cid: BlockCid): Promise<Uint8Array> => this.#node(record, cid, signal)
      for await (const block of walkManifest(record.root, readNode, this.#options.codec)) {
        if (block.chunkIndex !== null) batch.push(block)
        else if (block.parent !== null) await this.#ops.add([referenceOf(block.cid, block.parent)])
        if (batch.length === WALK_BATCH) await flush()
      }
    } catch (error) {
      if (isOutOfReach(error) || error instanceof NoSpaceError) lacking.nodes++
      // A manifest that breaks the format leads nowhere: what can be reached from it has been claimed.
      else if (!(error instanceof FormatError)) throw error
    }
    await flush()
    await Promise.all(pulls)
    signal.throwIfAborted()
    if (lacking.nodes + lacking.blocks === 0) await this.#finish(record)
    return lacking
  }

  /** Lets references take the place of the claims of puts, and forgets that the record was to be walked. */
  async #finish({ id, root }: RecordRef): Promise<void> {
    const { codec, local, claims, takeEnded } = this.#options
    const puts = takeEnded(root)
    // With the last of them in one batch: of most files that is all there is.
    let ended: IndexOp[] = []
    if (puts.length > 0) {
      const readNode = async (cid: BlockCid): Promise<Uint8Array> => {
        const bytes = await local.get(cid)
        if (bytes === undefined) throw new BlockUnreachableError(cid)
        return bytes
      }
      let batch: ManifestBlock[] = []
      const flush = async (): Promise<void> => {
        const names = batch.map(({ cid }) => cid.multihash.bytes)
        // What a keeper took in since the walk passed has no reference yet.
        await Promise.all(
          batch.map(({ cid, parent }) => parent !== null && this.#claimOne(cid, referenceOf(cid, parent)))
        )
        if (ended.length > 0) await this.#ops.add(ended)
        ended = (await Promise.all(puts.map(put => claims.endOps(put, names)))).flat()
        batch = []
      }
      for await (const block of walkManifest(root, readNode, codec)) if (batch.push(block) === WALK_BATCH) await flush()
      await flush()
    }
    await this.#ops.add([...ended, { type: 'del', key: todoKey(id) }])
  }

  /** A manifest node, from disk or pulled: everyone keeps those. */
  async #node({ author }: RecordRef, cid: BlockCid, signal: AbortSignal): Promise<Uint8Array> {
    const { local, fetcher, self } = this.#options
    const { bytes, from } = await fetcher.fetch(cid, { signal, prefer: [author], once: true })
    if (from !== self) await local.keep(cid, bytes, async () => {})
    return bytes
  }

  /** Claims the chunks that are here or owed; gives those that are owed and not here. */
  async #claimHeld(record: RecordRef, batch: readonly ManifestBlock[], lacking: Lacking): Promise<ManifestBlock[]> {
    const { self, local, ranking, clock } = this.#options
    const order = ranking()
    const held = await Promise.all(
      batch.map(({ cid, parent }) =>
        // A root is claimed by its record already.
        parent === null ? local.has(cid) : this.#claimOne(cid, referenceOf(cid, parent))
      )
    )
    const owed = batch.filter(
      ({ cid }, i) => held[i] === false && order.isOwner(self, cid.multihash.digest, record.replicas)
    )
    if (owed.length === 0) return []
    await this.#ops.add(owed.flatMap(({ cid, parent }) => (parent === null ? [] : [referenceOf(cid, parent)])))
    const evicted = await this.#evictedUntil(owed.map(({ cid }) => cid))
    const now = clock.now()
    for (const until of evicted) if (until > now) lacking.owedAgainAtMs = Math.min(lacking.owedAgainAtMs, until)
    return owed.filter((_, i) => (evicted[i] as number) <= now)
  }

  #claimOne(cid: BlockCid, reference: IndexOp): Promise<boolean> {
    return this.#options.local.claimHeld(cid, async () => {
      await this.#ops.add([reference])
    })
  }

  async #pull({ author }: RecordRef, cid: BlockCid, signal: AbortSignal): Promise<boolean> {
    const { local, fetcher, pulls, onError } = this.#options
    this.#pulling++
    try {
      const release = await pulls.acquire(CHUNK_BYTES, signal)
      try {
        const { bytes } = await fetcher.fetch(cid, { signal, prefer: [author], once: true })
        await local.keep(cid, bytes, async () => {})
      } finally {
        release()
      }
      return true
    } catch (error) {
      if (isAbort(error)) throw error
      if (!isOutOfReach(error) && !(error instanceof NoSpaceError)) onError(error)
      return false
    } finally {
      this.#pulling--
    }
  }

  /** For each chunk until when this member need not have it, having given it away; 0 if it never did. */
  async #evictedUntil(cids: readonly BlockCid[]): Promise<number[]> {
    const values = await this.#options.index.getMany(cids.map(evictedKey))
    return values.map(value => (value === undefined ? 0 : Number(Buffer.from(value).readBigUInt64BE())))
  }
}

function referenceOf(cid: BlockCid, parent: Uint8Array): IndexOp {
  return Claims.reference(cid.multihash.bytes, { by: 'node', multihash: parent })
}

function todoKey(id: Uint8Array): Uint8Array {
  return indexKey(TABLES.unwalked, id)
}

function evictedKey(cid: BlockCid): Uint8Array {
  return indexKey(TABLES.evicted, cid.multihash.bytes)
}
