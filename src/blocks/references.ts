import { NoSpaceError } from '../disk/errors.ts'
import { type IndexDb, type IndexOp, indexKey } from '../disk/index-db.ts'
import { type BlockCid, isNode } from '../format/cid.ts'
import { CHUNK_BYTES } from '../format/constants.ts'
import { FormatError } from '../format/errors.ts'
import type { NodeCodec } from '../format/manifest.ts'
import type { PeerId } from '../format/peer-id.ts'
import { Batcher } from '../util/batcher.ts'
import { toHex, u64be } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { isAbort } from '../util/errors.ts'
import { Limiter } from '../util/limiter.ts'
import { Claims, type PutId } from './claims.ts'
import { EVICTED_MS, WALK_BATCH, WALK_PULLS, WALK_RETRY_MS, WALKS_AT_ONCE } from './constants.ts'
import { type DagBlock, walkDag } from './dag.ts'
import { BlockCorruptError, BlockUnreachableError } from './errors.ts'
import type { Fetcher } from './fetch.ts'
import type { LocalBlocks } from './local-blocks.ts'
import type { Ranking } from './rank.ts'

/** What a record needs of this room: its blocks, and how many copies of them. */
export interface RecordRef {
  /** Id of the record. */
  id: Uint8Array
  root: BlockCid
  /** Copies wanted; `Infinity` for every member. */
  replicas: number
  author: PeerId
}

export interface ReferencesOptions {
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
  /** Records that may still lack something here: all of them, at start. */
  all: () => AsyncIterable<RecordRef>
}

/**
 * What this member owes, record by record: it walks each manifest, claims what it holds, and pulls what it owes and
 * lacks. Manifest nodes everyone owes. A walk that cannot finish stays on the list until it can.
 */
export class References {
  readonly #options: ReferencesOptions
  readonly #walks = new Limiter(WALKS_AT_ONCE)
  readonly #pulls = new Limiter(WALK_PULLS)
  readonly #ops: Batcher<readonly IndexOp[], null>
  readonly #waiting = new Map<string, RecordRef>()
  readonly #lacking = new Map<string, { blocks: number; nodes: number }>()
  readonly #stopped = new AbortController()
  #pulling = 0
  #cancelRetry: (() => void) | undefined

  constructor(options: ReferencesOptions) {
    this.#options = options
    this.#ops = new Batcher<readonly IndexOp[], null>(
      async groups => {
        await options.index.batch(groups.flat())
        return groups.map(() => null)
      },
      { itemsMax: 1024 }
    )
  }

  /** The changes to the index by which a record claims its root, and is to be walked. For the record's own batch. */
  static opsFor(record: { id: Uint8Array; root: BlockCid }): IndexOp[] {
    return [
      Claims.reference(record.root.multihash.bytes, { by: 'record', id: record.id }),
      { type: 'put', key: todoKey(record.id), value: new Uint8Array(0) }
    ]
  }

  /** Walks records that have just come to stand. */
  enqueue(records: readonly RecordRef[]): void {
    for (const record of records) void this.#walk(record)
  }

  /** Walks everything once, in the background: what was owed when this member stopped, it still owes. */
  async start(): Promise<void> {
    try {
      for await (const record of this.#options.all()) {
        if (this.#stopped.signal.aborted) return
        await this.#walk(record)
      }
    } catch (error) {
      if (!isAbort(error)) throw error
    }
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    this.#cancelRetry?.()
    await this.#ops.settled()
  }

  /** Takes up again what could not be finished: a member came, or there is room. */
  retry(): void {
    this.#cancelRetry?.()
    this.#cancelRetry = undefined
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    this.enqueue(waiting)
  }

  /** What this member itself lacks of what it owes. */
  get owed(): { blocks: number; bytes: number } {
    let blocks = 0
    for (const lacking of this.#lacking.values()) blocks += lacking.blocks + lacking.nodes
    return { blocks, bytes: blocks * CHUNK_BYTES }
  }

  /** What is being pulled at this moment. */
  get repairing(): { blocks: number; bytes: number } {
    return { blocks: this.#pulling, bytes: this.#pulling * CHUNK_BYTES }
  }

  /** True while some record's manifest is not whole here: then nothing that could belong to it may be freed. */
  get lacksNodes(): boolean {
    for (const { nodes } of this.#lacking.values()) if (nodes > 0) return true
    return false
  }

  async #walk(record: RecordRef): Promise<void> {
    const key = toHex(record.id)
    const { signal } = this.#stopped
    try {
      await this.#walks.run(async () => {
        const lacking = await this.#walkOne(record, signal)
        if (lacking.blocks + lacking.nodes > 0) {
          this.#lacking.set(key, lacking)
          this.#retryLater(record)
          return
        }
        this.#lacking.delete(key)
        for (const put of this.#options.takeEnded(record.root)) await this.#endPut(put, record)
        await this.#ops.add([{ type: 'del', key: todoKey(record.id) }])
      }, signal)
    } catch (error) {
      if (!isAbort(error) && !signal.aborted) this.#retryLater(record)
    }
  }

  async #walkOne(record: RecordRef, signal: AbortSignal): Promise<{ blocks: number; nodes: number }> {
    const lacking = { blocks: 0, nodes: 0 }
    const pulls = new Set<Promise<void>>()
    let batch: DagBlock[] = []
    const flush = async (): Promise<void> => {
      const missing = await this.#claimHeld(record, batch)
      batch = []
      for (const block of missing) {
        const release = await this.#pulls.acquire(1, signal)
        const pull = this.#pull(record, block, signal)
          .then(isHere => {
            if (!isHere) lacking.blocks++
          })
          .finally(release)
        pulls.add(pull)
        void pull.finally(() => pulls.delete(pull)).catch(() => {})
      }
    }
    try {
      for await (const block of walkDag(record.root, cid => this.#node(record, cid, signal), this.#options.codec)) {
        if (block.leaf === null) {
          if (block.parent !== null) await this.#ops.add([referenceOf(record, block)])
          continue
        }
        batch.push(block)
        if (batch.length === WALK_BATCH) await flush()
      }
    } catch (error) {
      if (error instanceof FormatError) {
        // A manifest that breaks the format leads nowhere: what can be reached from it has been claimed.
      } else if (
        error instanceof BlockUnreachableError ||
        error instanceof BlockCorruptError ||
        error instanceof NoSpaceError
      ) {
        lacking.nodes++
      } else {
        throw error
      }
    }
    await flush()
    await Promise.all(pulls)
    return lacking
  }

  /** A manifest node, from disk or pulled: everyone keeps those. */
  async #node(record: RecordRef, cid: BlockCid, signal: AbortSignal): Promise<Uint8Array> {
    const { local, fetcher, author } = { ...this.#options, author: record.author }
    const held = await local.get(cid, signal).catch(error => {
      if (error instanceof BlockCorruptError) return undefined
      throw error
    })
    if (held !== undefined) return held
    const { bytes } = await fetcher.fetch(cid, { signal, prefer: [author] })
    await local.keep(cid, bytes, async () => {})
    return bytes
  }

  /** Claims the chunks that are here or owed; gives those that are owed and not here. */
  async #claimHeld(record: RecordRef, batch: DagBlock[]): Promise<DagBlock[]> {
    const { self, local, ranking } = this.#options
    const order = ranking()
    const evicted = await this.#areEvicted(batch.map(({ cid }) => cid))
    const held = await Promise.all(batch.map(({ cid }) => local.has(cid)))
    const missing = batch.filter(
      ({ cid }, i) =>
        held[i] === false && evicted[i] === false && order.isOwner(self, cid.multihash.digest, record.replicas)
    )
    const claimed = batch.filter((block, i) => held[i] === true || missing.includes(block))
    if (claimed.length > 0) await this.#ops.add(claimed.map(block => referenceOf(record, block)))
    return missing
  }

  async #pull(record: RecordRef, { cid }: DagBlock, signal: AbortSignal): Promise<boolean> {
    const { local, fetcher, pulls } = this.#options
    this.#pulling++
    try {
      const release = await pulls.acquire(CHUNK_BYTES, signal)
      try {
        const { bytes } = await fetcher.fetch(cid, { signal, prefer: [record.author] })
        await local.keep(cid, bytes, async () => {})
      } finally {
        release()
      }
      return true
    } catch (error) {
      if (isAbort(error)) throw error
      return false
    } finally {
      this.#pulling--
    }
  }

  async #endPut(put: PutId, record: RecordRef): Promise<void> {
    const { local, claims, codec } = this.#options
    const readNode = async (cid: BlockCid): Promise<Uint8Array> => {
      const bytes = await local.get(cid)
      if (bytes === undefined) throw new BlockUnreachableError(cid)
      return bytes
    }
    let batch: Uint8Array[] = []
    for await (const { cid } of walkDag(record.root, readNode, codec)) {
      batch.push(cid.multihash.bytes)
      if (batch.length < WALK_BATCH) continue
      await claims.endPut(put, batch)
      batch = []
    }
    await claims.endPut(put, batch)
  }

  #retryLater(record: RecordRef): void {
    this.#waiting.set(toHex(record.id), record)
    this.#cancelRetry ??= this.#options.clock.after(WALK_RETRY_MS, () => this.retry())
  }

  /** Notes that this member gave its copy of a chunk away: it is not owed again for a while. */
  async markEvicted(cids: readonly BlockCid[]): Promise<void> {
    const until = u64be(Math.floor(this.#options.clock.now() + EVICTED_MS))
    await this.#options.index.batch(cids.map(cid => ({ type: 'put', key: evictedKey(cid), value: until })))
  }

  /** Something was read that is claimed here and was not on disk: it is owed again, and this is the moment to keep it. */
  async keepIfClaimed(cid: BlockCid, bytes: Uint8Array): Promise<void> {
    const { local, claims, index } = this.#options
    if (isNode(cid) || !(await claims.isReferenced(cid.multihash.bytes))) return
    await local.keep(cid, bytes, async () => {})
    await index.batch([{ type: 'del', key: evictedKey(cid) }])
  }

  async #areEvicted(cids: readonly BlockCid[]): Promise<boolean[]> {
    const now = this.#options.clock.now()
    const values = await this.#options.index.getMany(cids.map(evictedKey))
    return values.map(value => value !== undefined && Number(Buffer.from(value).readBigUInt64BE()) > now)
  }
}

function referenceOf(record: RecordRef, { cid, parent }: DagBlock): IndexOp {
  return Claims.reference(
    cid.multihash.bytes,
    parent === null ? { by: 'record', id: record.id } : { by: 'node', multihash: parent }
  )
}

function todoKey(id: Uint8Array): Uint8Array {
  return indexKey('t', id)
}

function evictedKey(cid: BlockCid): Uint8Array {
  return indexKey('v', cid.multihash.bytes)
}
