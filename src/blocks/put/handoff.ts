import { z } from 'zod'
import { type IndexDb, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { decodeOwn, encodeCanonical } from '../../format/canonical.ts'
import { type BlockCid, decodeCid } from '../../format/cid.ts'
import { CHUNK_BYTES } from '../../format/constants.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { ViewMember } from '../../members/view.ts'
import type { Clock } from '../../util/clock.ts'
import { isAbort } from '../../util/errors.ts'
import { Limiter } from '../../util/limiter.ts'
import { Bitmap } from '../bitmap.ts'
import { DELIVERIES_AT_ONCE, WALK_RETRY_MS, WALK_RETRY_MS_MAX } from '../constants.ts'
import { isOutOfReach } from '../hold/keeper.ts'
import { walkManifest } from '../manifest-walk.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import type { Ranking } from '../rank.ts'
import type { RecordRef } from '../record-ref.ts'

const rowSchema = z.object({
  root: z.instanceof(Uint8Array),
  replicas: z.number(),
  author: z.string(),
  owed: z.number(),
  eachBytes: z.number().default(CHUNK_BYTES),
  done: z.array(z.tuple([z.string(), z.number()]))
})

export interface HintedHandoffOptions {
  self: PeerId
  clock: Clock
  codec: NodeCodec
  index: IndexDb
  storeClient: Pick<StoreClient, 'holdRoot'>
  ranking: () => Ranking
  keepers: () => PeerId[]
  viewId: () => Uint8Array
  readNode: (cid: BlockCid) => Promise<Uint8Array>
  onError: (error: unknown) => void
}

interface Hint extends RecordRef {
  owed: number
  /** Bytes of text that a chunk has at most: what is owed is told in bytes too. */
  eachBytes: number
  /**
   * Who has said that it holds all that it owes, and how many chunks that were: it is asked no more, since of two who are
   * never here at once one would always be missing.
   */
  done: Array<[PeerId, number]>
}

/** What one member should hold of a file, and whether it is asked as the next in rank after one without room. */
interface Debt {
  chunks: Bitmap
  isFull: boolean
}

/**
 * Puts that said yes before every copy was made. The owners pull by themselves once the record reaches them; the writer
 * asks until each of them confirms, so that what is owed is known, and survives a restart. Rows of the index, of which
 * only the sum is in memory. Asked when a member comes or the view changes, and at longer and longer intervals between.
 */
export class HintedHandoff {
  readonly #options: HintedHandoffOptions
  readonly #stopped = new AbortController()
  #owed = 0
  #owedBytes = 0
  #retryMs = WALK_RETRY_MS
  #cancelRetry: (() => void) | undefined
  #working: Promise<void> | undefined
  #isAskedAgain = false

  constructor(options: HintedHandoffOptions) {
    this.#options = options
  }

  /** Copies of chunks that others still have to confirm; the bytes are an upper bound. */
  get owed(): { blocks: number; bytes: number } {
    return { blocks: this.#owed, bytes: this.#owedBytes }
  }

  /** Takes up what was open at the last stop, and goes on until it is stopped. */
  async start(): Promise<void> {
    for await (const hint of this.#open()) this.#count(hint, hint.owed)
    if (this.#owed > 0) this.check()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    this.#cancelRetry?.()
    await this.#working
  }

  /** Sees to it that a record's missing copies are made, of chunks of at most `eachBytes` of text. */
  async add(record: RecordRef, owed: number, eachBytes: number): Promise<void> {
    await this.#write({ ...record, owed, eachBytes, done: [] })
    this.#count({ eachBytes }, owed)
    this.#scheduleRetry()
  }

  /** Asks at once: a member has come, or the view has changed. */
  check(): void {
    this.#cancelRetry?.()
    this.#cancelRetry = undefined
    if (this.#stopped.signal.aborted) return
    if (this.#working !== undefined) {
      this.#isAskedAgain = true
      return
    }
    this.#retryMs = WALK_RETRY_MS
    this.#work()
  }

  #count({ eachBytes }: Pick<Hint, 'eachBytes'>, more: number): void {
    this.#owed += more
    this.#owedBytes += more * eachBytes
  }

  #scheduleRetry(): void {
    if (this.#stopped.signal.aborted || this.#working !== undefined) return
    this.#cancelRetry ??= this.#options.clock.after(this.#retryMs, () => {
      this.#cancelRetry = undefined
      this.#retryMs = Math.min(this.#retryMs * 2, WALK_RETRY_MS_MAX)
      this.#work()
    })
  }

  #work(): void {
    const { onError } = this.#options
    this.#working = this.#checkAll()
      .catch(error => {
        if (!isAbort(error) && !this.#stopped.signal.aborted) onError(error)
      })
      .finally(() => {
        this.#working = undefined
        if (this.#isAskedAgain) {
          this.#isAskedAgain = false
          this.check()
        } else if (this.#owed > 0) this.#scheduleRetry()
      })
  }

  async #checkAll(): Promise<void> {
    const { signal } = this.#stopped
    const before = this.#owed
    const slots = new Limiter(DELIVERIES_AT_ONCE)
    const underWay = new Set<Promise<void>>()
    for await (const hint of this.#open()) {
      signal.throwIfAborted()
      const release = await slots.acquire(1, signal)
      const checking = this.#checkOne(hint)
        .catch(error => {
          if (!isOutOfReach(error)) this.#options.onError(error)
        })
        .finally(() => {
          release()
          underWay.delete(checking)
        })
      underWay.add(checking)
    }
    await Promise.all(underWay)
    if (this.#owed < before) this.#retryMs = WALK_RETRY_MS
  }

  async #checkOne(hint: Hint): Promise<void> {
    const { self, keepers, ranking, readNode, codec } = this.#options
    const reachable = new Set(keepers())
    const order = ranking()
    const debts = new Map<PeerId, Debt>()
    // For chunks that one without room owes: who comes after the owners, in rank.
    const next = new Map<number, ViewMember[]>()
    for await (const { cid, chunkIndex } of walkManifest(hint.root, readNode, codec)) {
      if (chunkIndex === null) continue
      const ordered = order.owners(cid.multihash.digest, Number.POSITIVE_INFINITY)
      const owners = ordered.slice(0, hint.replicas)
      for (const owner of owners) owe(debts, owner, chunkIndex)
      if (owners.some(({ isFull }) => isFull)) next.set(chunkIndex, ordered.slice(owners.length))
    }
    debts.delete(self)
    let owed = 0
    // Under another view it may owe more than it did.
    const done = hint.done.filter(([peer, chunks]) => debts.get(peer)?.chunks.size === chunks)
    for (const [peer] of done) debts.delete(peer)
    for (const [peer, { chunks, isFull }] of debts) {
      const lacking = reachable.has(peer) ? await this.#lacking(peer, hint.root, chunks, false) : undefined
      owed += (lacking ?? chunks).size
      if (lacking?.size === 0) done.push([peer, chunks.size])
      // Only its own word that it lacks them moves the debt on: no answer changes nothing.
      if (isFull && lacking !== undefined) owed -= await this.#turnToNext(hint.root, lacking, next, reachable)
    }
    this.#count(hint, owed - hint.owed)
    if (owed > 0) await this.#write({ ...hint, owed, done })
    else await this.#options.index.batch([{ type: 'del', key: rowKey(hint) }])
  }

  /**
   * A member without room said that it lacks some chunks: for each the next in rank that has room owes it, and is asked
   * to. Gives how many are there now.
   */
  async #turnToNext(
    root: BlockCid,
    lacking: Bitmap,
    next: ReadonlyMap<number, ViewMember[]>,
    reachable: ReadonlySet<PeerId>
  ): Promise<number> {
    const debts = new Map<PeerId, Debt>()
    for (const [chunkIndex, members] of next) {
      if (!lacking.has(chunkIndex)) continue
      const index = members.findIndex(({ isFull }) => !isFull)
      const member = members[index]
      if (member === undefined) continue
      // Another full owner of the same chunk has the one after that.
      members.splice(index, 1)
      owe(debts, member, chunkIndex)
    }
    let held = 0
    for (const [peer, { chunks }] of debts) {
      if (peer === this.#options.self) held += chunks.size
      else if (reachable.has(peer)) {
        const lacked = await this.#lacking(peer, root, chunks, true)
        held += chunks.size - (lacked ?? chunks).size
      }
    }
    return held
  }

  /** Which of these chunks a member lacks; undefined if it does not say. */
  async #lacking(peer: PeerId, root: BlockCid, chunks: Bitmap, fetch: boolean): Promise<Bitmap | undefined> {
    const question = { view: this.#options.viewId(), root, chunks, fetch, nonce: undefined, records: [] }
    try {
      return (await this.#options.storeClient.holdRoot(peer, question)).lacking.and(chunks)
    } catch {
      return undefined
    }
  }

  async *#open(): AsyncGenerator<Hint> {
    const { index, codec } = this.#options
    const table = indexKey(TABLES.hints)
    for await (const { key, value } of index.range(table)) {
      const { root, replicas, author, owed, eachBytes, done } = rowSchema.parse(decodeOwn(value))
      yield {
        id: key.subarray(table.byteLength),
        root: decodeCid(root, [codec.code]),
        replicas: replicas === ALL ? Number.POSITIVE_INFINITY : replicas,
        author,
        owed,
        eachBytes,
        done
      }
    }
  }

  async #write({ id, root, replicas, author, owed, eachBytes, done }: Hint): Promise<void> {
    const copies = Number.isFinite(replicas) ? replicas : ALL
    const value = encodeCanonical({ root: root.bytes, replicas: copies, author, owed, eachBytes, done })
    await this.#options.index.batch([{ type: 'put', key: rowKey({ id }), value }])
  }
}

/** How a record that wants a copy on every member says so. */
const ALL = 0

function owe(debts: Map<PeerId, Debt>, { peer, isFull }: ViewMember, chunkIndex: number): void {
  const debt = debts.get(peer) ?? { chunks: new Bitmap(), isFull }
  debt.chunks.add(chunkIndex)
  debts.set(peer, debt)
}

function rowKey({ id }: { id: Uint8Array }): Uint8Array {
  return indexKey(TABLES.hints, id)
}
