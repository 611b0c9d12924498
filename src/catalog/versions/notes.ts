import type { IndexDb } from '../../disk/index-db.ts'
import type { IndexSink } from '../../disk/index-sink.ts'
import { decodeOwn } from '../../format/canonical.ts'
import { covers, type EntryRecord, type Seen, seenKey } from '../../format/entry.ts'
import { compareStamps, type Hlc, type Stamp } from '../../format/stamp.ts'
import type { Statement } from '../../format/statement.ts'
import { equalBytes, NO_BYTES, toHex, u64be } from '../../util/bytes.ts'
import type { Admitted } from '../carried-contents.ts'
import { PURGE_WAIT_MS } from '../constants.ts'
import { type EntryState, isIn, isOrigin } from '../heads.ts'
import type { NewRecord } from '../record-reader.ts'
import { decodeHead, type HeadFields } from '../rows/head-codec.ts'
import { olderHeadKey, textOf } from '../rows/keys.ts'
import { type RecordRow, rootInContent } from '../rows/record-rows.ts'
import { encodeCarrier } from './carriers.ts'
import { FirstSeen, type Sighting } from './first-seen.ts'
import { carrierKey, DEEDS, duePurgeKey, hasPurgesKey, laterPurgeKey, newsKey } from './keys.ts'

/** What a batch has added to an entry. */
export interface Additions {
  admitted: readonly Admitted[]
  added: readonly NewRecord[]
  /** What the records of the entry have seen only since this batch, by `seenKey`. */
  raised: ReadonlyMap<string, Seen>
  /** The stamps of older heads that are heads no longer. */
  olderGone: readonly Stamp[]
}

/**
 * Writes down what new records of an entry mean for its versions. It decides nothing: it notes which records end, purge
 * and save which versions, and at which versions the worker has to look. A record costs as many rows as it names
 * stamps, and most of these cost no read.
 */
export class VersionNotes {
  readonly #index: IndexDb
  readonly #entry: Uint8Array
  readonly #state: EntryState
  readonly #headsBefore: readonly EntryRecord[]
  readonly #seenBefore: ReadonlyMap<string, Hlc>

  /** `state` must be that before the batch, with what is known of the authors that its records name. */
  constructor(index: IndexDb, entry: Uint8Array, state: EntryState) {
    this.#index = index
    this.#entry = entry
    this.#state = state
    this.#headsBefore = state.heads
    this.#seenBefore = new Map([...state.covered].map(([key, { hlc }]) => [key, hlc]))
  }

  /** Notes a record that wrote a version and does not count, because a twin does. One that was released needs no note. */
  twin(written: Stamp, { id, content, arrivedAtMs }: RecordRow, sink: IndexSink): void {
    const root = content === undefined ? undefined : rootInContent(content)
    if (root !== undefined)
      sink.put(carrierKey(this.#entry, written, id), encodeCarrier({ stamp: written, arrivedAtMs, ...root }))
  }

  /** Notes everything else, once the state is that after the batch. */
  async write(additions: Additions, sink: IndexSink): Promise<void> {
    const { admitted, added } = additions
    for (const { record, arrivedAtMs } of admitted) this.#carrier(record, arrivedAtMs, sink)
    for (const { record } of this.#waiting(additions)) sink.put(newsKey(this.#entry, record.written), NO_BYTES)
    const ends = admitted.flatMap(endsOf)
    if (ends.length > 0) await this.#first(DEEDS.ends).add(ends, sink, this.#seenBefore)
    for (const item of added) if (item.record.op === 'delete') await this.#purgeOrCancel(item, sink)
    await this.#news(additions, sink)
  }

  /** Returns the new records that wait. Their content may have been purged already. */
  #waiting({ added, admitted }: Additions): readonly NewRecord[] {
    if (this.#state.waiting === 0) return []
    const counts = new Set(admitted.map(({ record }) => toHex(record.id)))
    return added.filter(({ record }) => !counts.has(toHex(record.id)))
  }

  #first(deed: (typeof DEEDS)['ends' | 'purges' | 'cancels']): FirstSeen {
    return new FirstSeen(this.#index, this.#entry, deed)
  }

  #carrier(record: EntryRecord, arrivedAtMs: number, sink: IndexSink): void {
    const { id, op, stamp, written, root, rootEpoch } = record
    if (op === 'delete' || isOrigin(record) || root === null || rootEpoch === null) return
    sink.put(carrierKey(this.#entry, written, id), encodeCarrier({ stamp, arrivedAtMs, root, rootEpoch }))
  }

  async #purgeOrCancel({ record, statement, role, arrivedAtMs }: NewRecord, sink: IndexSink): Promise<void> {
    const { purge, cancel } = statement.fields
    const by = { arrivedAtMs, hlc: record.stamp.hlc, author: record.stamp.author }
    const sightings = record.seen.map(seen => ({ ...seen, by }))
    if (cancel === true) await this.#first(DEEDS.cancels).add(sightings, sink)
    if (purge !== true) return
    const isFirst = !(await this.#index.has(hasPurgesKey(this.#entry)))
    sink.put(hasPurgesKey(this.#entry), NO_BYTES)
    if (role === 'admin') {
      // Nearly every entry is purged once. Then there are no other rows that have to be read.
      await this.#first(DEEDS.purges).add(sightings, sink, isFirst ? new Map() : undefined)
      sink.put(newsKey(this.#entry), NO_BYTES)
    } else {
      for (const seen of record.seen) sink.put(laterPurgeKey(this.#entry, seen, record.stamp), u64be(arrivedAtMs))
      sink.put(duePurgeKey(arrivedAtMs + PURGE_WAIT_MS, this.#entry), NO_BYTES)
    }
  }

  /**
   * Notes the versions that may have ended. A version that has not ended is that of some head, as long as each record
   * has seen all that those before it had seen.
   */
  async #news({ admitted, raised, olderGone }: Additions, sink: IndexSink): Promise<void> {
    const heads = new Set(this.#state.heads.map(({ id }) => toHex(id)))
    const versions = new Map<string, Stamp>()
    const note = (written: Stamp): unknown => versions.set(textOf(newsKey(this.#entry, written)), written)
    for (const head of this.#headsBefore) {
      const { id, written } = head
      // A head that carries a version has itself seen the record that wrote it. So no record that ends it is the first.
      const isEnded = !isOrigin(head) && admitted.some(({ record }) => ends(record, written))
      for (const stamp of versionsOf(head))
        if (isEnded || !heads.has(toHex(id)) || raised.has(seenKey(stamp.author, stamp.incarnation))) note(stamp)
    }
    for (const { record } of admitted)
      for (const stamp of versionsOf(record)) if (isIn(this.#state.covered, stamp)) note(stamp)
    for (const head of await this.#olderHeads(olderGone)) for (const stamp of versionsOf(head)) note(stamp)
    for (const written of versions.values()) sink.put(newsKey(this.#entry, written), NO_BYTES)
  }

  async #olderHeads(stamps: readonly Stamp[]): Promise<EntryRecord[]> {
    if (stamps.length === 0) return []
    const values = await this.#index.getMany(stamps.map(stamp => olderHeadKey(this.#entry, stamp)))
    return values.flatMap(value =>
      value === undefined ? [] : [decodeHead(this.#entry, decodeOwn(value) as HeadFields)]
    )
  }
}

/**
 * Returns the versions that may end with a record: the one whose content it has, and one that a twin of it may have
 * written under the same stamp.
 */
function versionsOf(record: EntryRecord): Stamp[] {
  return isOrigin(record) ? [record.written] : [record.written, record.stamp]
}

function ends(record: EntryRecord, written: Stamp): boolean {
  return compareStamps(record.written, written) !== 0 && covers(record, written)
}

/** Returns the stamps up to which a record ends the versions of each author and incarnation that it has seen. */
function endsOf({ record, arrivedAtMs }: Admitted): Sighting[] {
  const { stamp, written, seen } = record
  const by = { arrivedAtMs, hlc: stamp.hlc, author: stamp.author }
  const isCarrier = !isOrigin(record)
  return seen.flatMap(item => {
    // A record does not end the version that it carries. Its author has seen no later one under the same incarnation.
    const isOfCarried =
      isCarrier && equalBytes(item.author, written.author) && equalBytes(item.incarnation, written.incarnation)
    const hlc = isOfCarried && item.hlc >= written.hlc ? written.hlc - 1n : item.hlc
    return hlc < 0n ? [] : [{ ...item, hlc, by }]
  })
}

/**
 * Returns true if the index holds what a record says to save versions, if it is such a record. If these rows were lost,
 * the versions would be too. The loss of any other row about versions only means that some are kept for longer.
 */
export async function hasCancel(
  index: Pick<IndexDb, 'get' | 'range'>,
  { entry, seen }: EntryRecord,
  { fields }: Pick<Statement<'entry'>, 'fields'>
): Promise<boolean> {
  if (fields.cancel !== true) return true
  const cancels = new FirstSeen(index, entry, DEEDS.cancels)
  for (const stamp of seen) if ((await cancels.of(stamp)) === undefined) return false
  return true
}
