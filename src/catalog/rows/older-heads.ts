import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { decodeOwn, encodeCanonical } from '../../format/canonical.ts'
import { type EntryRecord, type Seen, seenKey } from '../../format/entry.ts'
import type { Stamp } from '../../format/stamp.ts'
import { NO_BYTES } from '../../util/bytes.ts'
import { HEADS_MAX } from '../constants.ts'
import { decodeHead, encodeHead, type HeadFields } from './head-codec.ts'
import { olderHeadKey, olderHeadsOf, olderHeadsPrefix, stampOfOlderHead, textOf } from './keys.ts'

/**
 * The older heads of an entry: those for which its row in `entries` has no room. Each has two rows. The first holds the
 * record. These rows are in order from the latest to the oldest, so that the latest heads come back when there is room
 * again. The second is found by author and incarnation, so that a new record finds the heads that it covers.
 */
export class OlderHeads {
  readonly #index: Pick<IndexDb, 'get' | 'range'>
  readonly #entry: Uint8Array
  /** The heads whose rows this batch has removed already, by their keys. */
  readonly #removed = new Map<string, Stamp>()

  constructor(index: Pick<IndexDb, 'get' | 'range'>, entry: Uint8Array) {
    this.#index = index
    this.#entry = entry
  }

  /** The stamps of the heads that this batch has removed. */
  get removed(): readonly Stamp[] {
    return [...this.#removed.values()]
  }

  /**
   * Removes the heads that new records have seen, and returns their stamps. `seen` has `seenKey` as its keys. `count` is
   * how many older heads there are.
   */
  async removeCovered(sink: IndexSink, seen: ReadonlyMap<string, Seen>, count: number): Promise<Stamp[]> {
    const stamps: Stamp[] = []
    // Opening a range takes as long as reading some of its rows.
    const prefixes =
      count <= seen.size * ROWS_PER_RANGE
        ? [olderHeadsOf(this.#entry)]
        : [...seen.values()].map(item => olderHeadsOf(this.#entry, item))
    for (const prefix of prefixes)
      for await (const { key } of this.#index.range(prefix)) {
        const stamp = stampOfOlderHead(key)
        const covered = seen.get(seenKey(stamp.author, stamp.incarnation))
        if (covered === undefined || covered.hlc < stamp.hlc) continue
        this.remove(sink, stamp)
        stamps.push(stamp)
      }
    return stamps
  }

  /** Removes the head with this stamp, if there is one, because a twin has replaced it. */
  async replace(sink: IndexSink, stamp: Stamp): Promise<void> {
    if ((await this.#index.get(olderHeadKey(this.#entry, stamp))) !== undefined) this.remove(sink, stamp)
  }

  /** Removes the head with this stamp. */
  remove(sink: IndexSink, stamp: Stamp): void {
    const [byTime, byAuthor] = [olderHeadKey(this.#entry, stamp), olderHeadsOf(this.#entry, stamp, stamp.hlc)]
    this.#removed.set(textOf(byTime), stamp)
    sink.del(byTime)
    sink.del(byAuthor)
  }

  add(sink: IndexSink, head: EntryRecord): void {
    sink.put(olderHeadKey(this.#entry, head.stamp), encodeCanonical(encodeHead(head)))
    sink.put(olderHeadsOf(this.#entry, head.stamp, head.stamp.hlc), NO_BYTES)
  }

  /** Returns the latest `HEADS_MAX` heads that this batch has not removed; fewer if there are no more. */
  async latest(): Promise<EntryRecord[]> {
    const heads: EntryRecord[] = []
    for await (const { key, value } of this.#index.range(olderHeadsPrefix(this.#entry))) {
      if (this.#removed.has(textOf(key))) continue
      heads.push(decodeHead(this.#entry, decodeOwn(value) as HeadFields))
      if (heads.length === HEADS_MAX) break
    }
    return heads
  }
}

const ROWS_PER_RANGE = 16
