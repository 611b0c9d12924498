import { z } from 'zod'
import { type IndexDb, indexKey } from '../disk/index-db.ts'
import { decodeCanonical, encodeCanonical } from '../format/canonical.ts'
import { type BlockCid, decodeCid } from '../format/cid.ts'
import { CHUNK_BYTES } from '../format/constants.ts'
import type { NodeCodec } from '../format/manifest.ts'
import type { PeerId } from '../format/peer-id.ts'
import { toHex } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { isAbort } from '../util/errors.ts'
import { Bitmap } from './bitmap.ts'
import { WALK_RETRY_MS } from './constants.ts'
import { walkDag } from './dag.ts'
import type { KeepProtocol } from './keep-protocol.ts'
import type { Ranking } from './rank.ts'
import type { RecordRef } from './references.ts'

const rowSchema = z.object({
  root: z.instanceof(Uint8Array),
  replicas: z.number(),
  author: z.string(),
  owed: z.number()
})

export interface DeliveriesOptions {
  self: PeerId
  clock: Clock
  codec: NodeCodec
  index: IndexDb
  keeps: KeepProtocol
  ranking: () => Ranking
  keepers: () => PeerId[]
  viewId: () => Uint8Array
  readNode: (cid: BlockCid) => Promise<Uint8Array>
}

/**
 * Puts that said yes before every copy was made. The owners pull by themselves once the record reaches them; the writer
 * keeps asking until each of them confirms, so that what is owed is known, and survives a restart.
 */
export class Deliveries {
  readonly #options: DeliveriesOptions
  readonly #open = new Map<string, RecordRef & { owed: number }>()
  readonly #stopped = new AbortController()
  #isRunning = false

  constructor(options: DeliveriesOptions) {
    this.#options = options
  }

  /** Copies of chunks that others still have to confirm. */
  get owed(): { blocks: number; bytes: number } {
    let blocks = 0
    for (const { owed } of this.#open.values()) blocks += owed
    return { blocks, bytes: blocks * CHUNK_BYTES }
  }

  /** Takes up what was open at the last stop, and goes on until it is stopped. */
  async start(): Promise<void> {
    const table = indexKey('u')
    for await (const { key, value } of this.#options.index.range(table)) {
      const row = rowSchema.parse(decodeCanonical(value))
      const id = Buffer.from(key.subarray(table.byteLength))
      const replicas = row.replicas === 0 ? Number.POSITIVE_INFINITY : row.replicas
      this.#open.set(toHex(id), {
        id,
        replicas,
        root: decodeCid(row.root, [this.#options.codec.code]),
        author: row.author,
        owed: row.owed
      })
    }
    void this.#loop()
  }

  stop(): void {
    this.#stopped.abort()
  }

  async add(record: RecordRef, owed: number): Promise<void> {
    this.#open.set(toHex(record.id), { ...record, owed })
    const replicas = Number.isFinite(record.replicas) ? record.replicas : 0
    const value = encodeCanonical({ root: record.root.bytes, replicas, author: record.author, owed })
    await this.#options.index.batch([{ type: 'put', key: indexKey('u', record.id), value }])
  }

  /** Asks at once; a member has come. */
  async check(): Promise<void> {
    if (this.#isRunning) return
    this.#isRunning = true
    try {
      for (const record of [...this.#open.values()]) {
        if (this.#stopped.signal.aborted) return
        await this.#checkOne(record)
      }
    } catch {
      // The next round tries again.
    } finally {
      this.#isRunning = false
    }
  }

  async #loop(): Promise<void> {
    const { signal } = this.#stopped
    try {
      for (;;) {
        await this.#options.clock.sleep(WALK_RETRY_MS, signal)
        await this.check()
      }
    } catch (error) {
      if (!isAbort(error)) throw error
    }
  }

  async #checkOne(record: RecordRef & { owed: number }): Promise<void> {
    const { self, keepers, ranking } = this.#options
    const reachable = new Set(keepers())
    // Which chunks each owner owes, by rank.
    const expected = new Map<PeerId, Bitmap>()
    const order = ranking()
    for await (const { cid, leaf } of walkDag(record.root, this.#options.readNode, this.#options.codec)) {
      if (leaf === null) continue
      for (const { peer } of order.owners(cid.multihash.digest, record.replicas)) {
        if (peer === self) continue
        const leaves = expected.get(peer) ?? new Bitmap()
        leaves.add(leaf)
        expected.set(peer, leaves)
      }
    }
    let owed = 0
    for (const [peer, leaves] of expected)
      owed += reachable.has(peer) ? await this.#lacking(peer, record.root, leaves) : leaves.size
    record.owed = owed
    if (owed > 0) return
    this.#open.delete(toHex(record.id))
    await this.#options.index.batch([{ type: 'del', key: indexKey('u', record.id) }])
  }

  async #lacking(peer: PeerId, root: BlockCid, leaves: Bitmap): Promise<number> {
    const { keeps, viewId } = this.#options
    try {
      const answer = await keeps.holdRoot(peer, {
        view: viewId(),
        root,
        leaves,
        fetch: false,
        nonce: undefined,
        records: []
      })
      return answer.lacking.size
    } catch {
      return leaves.size
    }
  }
}
