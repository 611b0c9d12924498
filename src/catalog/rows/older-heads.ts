import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { decodeOwn, encodeCanonical } from '../../format/canonical.ts'
import type { EntryRecord, Seen } from '../../format/entry.ts'
import { HEADS_MAX } from '../constants.ts'
import { decodeHead, encodeHead, type HeadFields } from './head-codec.ts'
import { olderHeadKey, olderHeadsOf, olderHeadsPrefix, stampOfOlderHead } from './keys.ts'

/**
 * The table of older heads has those heads of an entry for which its row in `entries` has no room. Each has two rows: one
 * with the record, in the order from the latest to the oldest, so that the latest come back when there is room again; and
 * one by author and incarnation, so that those that a new record covers are found.
 */
export class OlderHeads {
  readonly #index: Pick<IndexDb, 'get' | 'range'>
  readonly #entry: Uint8Array
  /** Keys of rows that this batch has removed already. */
  readonly #removed = new Set<string>()

  constructor(index: Pick<IndexDb, 'get' | 'range'>, entry: Uint8Array) {
    this.#index = index
    this.#entry = entry
  }

  /** True if this batch may have removed a head. */
  get hasRemoved(): boolean {
    return this.#removed.size > 0
  }

  /** Removes the heads that are part of what a record has seen. */
  async removeCovered(sink: IndexSink, seen: Iterable<Seen>): Promise<void> {
    for (const item of seen)
      for await (const { key } of this.#index.range(olderHeadsOf(this.#entry, item))) {
        const stamp = stampOfOlderHead(key)
        if (stamp.hlc > item.hlc) break
        this.remove(sink, stamp)
      }
  }

  /** Removes the head with this stamp, if there is one. */
  remove(sink: IndexSink, stamp: EntryRecord['stamp']): void {
    const [byTime, byAuthor] = [olderHeadKey(this.#entry, stamp), olderHeadsOf(this.#entry, stamp, stamp.hlc)]
    this.#removed.add(keyText(byTime))
    sink.del(byTime)
    sink.del(byAuthor)
  }

  add(sink: IndexSink, head: EntryRecord): void {
    sink.put(olderHeadKey(this.#entry, head.stamp), encodeCanonical(encodeHead(head)))
    sink.put(olderHeadsOf(this.#entry, head.stamp, head.stamp.hlc), NOTHING)
  }

  /** Returns the latest `HEADS_MAX` + 1 heads that this batch has not removed; fewer if there are no more. */
  async latest(): Promise<EntryRecord[]> {
    const heads: EntryRecord[] = []
    for await (const { key, value } of this.#index.range(olderHeadsPrefix(this.#entry))) {
      if (this.#removed.has(keyText(key))) continue
      heads.push(decodeHead(this.#entry, decodeOwn(value) as HeadFields))
      if (heads.length > HEADS_MAX) break
    }
    return heads
  }
}

const NOTHING = new Uint8Array(0)

function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
}
