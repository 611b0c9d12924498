import { Blocks } from '../../blocks/blocks.ts'
import type { IndexDb, IndexOp } from '../../disk/index-db.ts'
import { readRecord, rootOf } from '../../format/entry.ts'
import { peerIdOf } from '../../format/peer-id.ts'
import { compareStamps, type Stamp } from '../../format/stamp.ts'
import { idOf, type Statement } from '../../format/statement.ts'
import type { LoggedStatement } from '../../log/projection.ts'
import { compareBytes, equalBytes, fromHex, NO_BYTES, toHex } from '../../util/bytes.ts'
import { waitingFor } from '../carried-contents.ts'
import { SHORT_LIVED_MAX } from '../constants.ts'
import { isIn, liveHeads, type Past, pastFrom, pastOf } from '../heads.ts'
import { readEntryRow } from '../rows/entry-row.ts'
import { entryKey, olderHeadKey, recordsKey } from '../rows/keys.ts'
import { decodeRecordRow, encodeRecordRow, type RecordRow, releasedRow, rootInContent } from '../rows/record-rows.ts'
import { type Carrier, carriersOf, isBlock } from './carriers.ts'
import { ChangedRows } from './changed-rows.ts'
import { type Fate, fateOf } from './fate.ts'
import { droppedKey, duePurgeKey, endedKey, newsKey, shortVersionsKey } from './keys.ts'
import { decodeCount, decodeStamps, encodeCount, encodeStamps } from './small-rows.ts'

export interface VersionBatchOptions {
  index: IndexDb
  /** Returns the position of an epoch in the chain of epochs. */
  depthOf: (epoch: Uint8Array) => number
  nowMs: number
  /** How long a version is kept after its end. */
  keptMs: number
  /** True if the passing of time may end versions now. */
  mayExpire: boolean
}

/** A version with the records that have its content. */
interface Version {
  entry: Uint8Array
  written: Stamp
  /** The row of the record that wrote it; undefined if that record is not here, or is no longer the one that counts. */
  row: RecordRow | undefined
  fate: Fate
  /** True if only records that wait are known to carry it. */
  isWaiting: boolean
}

/** A record that needs the content of a version. */
type Holder = Pick<Carrier, 'stamp' | 'rootEpoch' | 'root'> & { id: Uint8Array }

/** What is known of the heads of an entry. */
interface Heads {
  /** The ids (hex) of all heads, and of those that show. The older heads are not among them. */
  all: ReadonlySet<string>
  live: ReadonlySet<string>
  hasOlder: boolean
  /** What all heads together have seen, except the older ones. */
  past: Past
}

/** Decides what becomes of versions, in one batch of the index. No record may arrive meanwhile. */
export class VersionBatch {
  readonly #options: VersionBatchOptions
  readonly #rows: ChangedRows
  /** What is known of the heads of each entry; undefined for an entry that has lost its row. */
  readonly #heads = new Map<string, Heads | undefined>()
  /** What the heads of the entry have seen, for each record that the log need not keep, by id (hex). */
  readonly #forgettable = new Map<string, Past>()
  /** How many versions this batch drops, and how many records it releases. */
  dropped = 0
  released = 0

  constructor(options: VersionBatchOptions) {
    this.#options = options
    this.#rows = new ChangedRows(options.index)
  }

  get ops(): readonly IndexOp[] {
    return this.#rows.ops
  }

  /** The ids of the records that the log need not keep, since they are of versions that are no longer kept. */
  get forgettable(): Uint8Array[] {
    return [...this.#forgettable.keys()].map(fromHex)
  }

  /**
   * Returns true for one of these records if the heads of its entry have seen all that it had seen. So after a rebuild of
   * the index without the record, the same heads count.
   */
  mayForget({ statement, author }: LoggedStatement): boolean {
    const past = this.#forgettable.get(idOf(statement))
    if (past === undefined) return false
    const record = readRecord(statement as Statement<'entry'>, author)
    return pastOf(record).every(({ author, incarnation, hlc }) => isIn(past, { author, incarnation, hlc }))
  }

  /** Adds changes of rows that this batch does not read. */
  addAll(ops: Iterable<IndexOp>): void {
    this.#rows.addAll(ops)
  }

  /** Looks at a version about which there is news. */
  async look(entry: Uint8Array, written: Stamp): Promise<void> {
    this.#rows.del(newsKey(entry, written))
    const version = await this.#versionOf(entry, written)
    if (version === undefined) return
    const { row, fate } = version
    // A record that carries the version has arrived late, or has ceased to be a head.
    if (row?.isDropped === true) return this.#release(version)
    if (fate.isPurged || (this.#options.keptMs === 0 && fate.endedAtMs !== null)) return this.#drop(version)
    if (fate.purgedAtMs !== null) {
      if (this.#isOver(fate.purgedAtMs)) return this.#drop(version)
      this.#rows.put(duePurgeKey(fate.purgedAtMs, entry), NO_BYTES)
    }
    // A record that waits may be forged, so nothing but a purge decides about its content.
    if (version.isWaiting) return
    if (fate.endedAtMs === null) return this.#releaseWorse(version)
    this.#rows.put(endedKey(fate.endedAtMs, entry, written), NO_BYTES)
    if (fate.isShortLived) await this.#limitShortLived(entry, written)
  }

  /** Drops a version that had ended at `atMs`, according to the row, if its time is over. */
  async expire(entry: Uint8Array, written: Stamp, atMs: number): Promise<void> {
    this.#rows.del(endedKey(atMs, entry, written))
    const version = await this.#versionOf(entry, written)
    if (version === undefined || version.row?.isDropped === true) return
    const { endedAtMs } = version.fate
    if (endedAtMs === null) return
    if (this.#isOver(endedAtMs + this.#options.keptMs)) await this.#drop(version)
    else this.#rows.put(endedKey(endedAtMs, entry, written), NO_BYTES)
  }

  async #versionOf(entry: Uint8Array, written: Stamp): Promise<Version | undefined> {
    const { index } = this.#options
    const value = await this.#rows.get(recordsKey(entry, written))
    const found = value === undefined ? undefined : decodeRecordRow(value)
    const row = found?.wrote === true ? found : undefined
    let arrivedAtMs = row?.arrivedAtMs
    if (arrivedAtMs === undefined) arrivedAtMs = firstArrival(await carriersOf(index, entry, written))
    const isWaiting = arrivedAtMs === undefined
    if (arrivedAtMs === undefined) arrivedAtMs = firstArrival(await waitingFor(index, entry, written))
    if (arrivedAtMs === undefined) return undefined
    return { entry, written, row, fate: await fateOf(index, entry, { written, arrivedAtMs }), isWaiting }
  }

  #isOver(atMs: number): boolean {
    return this.#options.mayExpire && atMs <= this.#options.nowMs
  }

  /** Adds a version to the short-lived ones of its entry. If there are too many, one is dropped. */
  async #limitShortLived(entry: Uint8Array, written: Stamp): Promise<void> {
    const stamps = await this.#shortLived(entry)
    if (stamps.some(stamp => compareStamps(stamp, written) === 0)) return
    stamps.push(written)
    stamps.sort(compareStamps)
    const [least] = stamps.length > SHORT_LIVED_MAX ? stamps.splice(await this.#leastOf(entry, stamps), 1) : []
    this.#rows.put(shortVersionsKey(entry), encodeStamps(stamps))
    const version = least === undefined ? undefined : await this.#versionOf(entry, least)
    // Since it was listed, an earlier end of it may have become known.
    if (version?.fate.isShortLived === true && version.row?.isDropped !== true) await this.#drop(version)
  }

  /**
   * Returns the index of the version that is missed least: the first whose content is also that of the next version, or
   * else the oldest. Otherwise a program that stores the same content again and again would push out what was there
   * before.
   */
  async #leastOf(entry: Uint8Array, stamps: readonly Stamp[]): Promise<number> {
    let before: Uint8Array | undefined
    for (const [i, stamp] of stamps.entries()) {
      const value = await this.#rows.get(recordsKey(entry, stamp))
      const content = value === undefined ? undefined : decodeRecordRow(value).content
      const root = content === undefined ? undefined : rootInContent(content)?.root
      if (root !== undefined && before !== undefined && equalBytes(root, before)) return i - 1
      before = root
    }
    return 0
  }

  async #shortLived(entry: Uint8Array): Promise<Stamp[]> {
    const value = await this.#rows.get(shortVersionsKey(entry))
    return value === undefined ? [] : decodeStamps(value)
  }

  /** Ends the keeping of a version, for good. */
  async #drop(version: Version): Promise<void> {
    const { entry, written, row, fate } = version
    if (fate.endedAtMs !== null) this.#rows.del(endedKey(fate.endedAtMs, entry, written))
    const stamps = await this.#shortLived(entry)
    const left = stamps.filter(stamp => compareStamps(stamp, written) !== 0)
    if (left.length < stamps.length)
      if (left.length === 0) this.#rows.del(shortVersionsKey(entry))
      else this.#rows.put(shortVersionsKey(entry), encodeStamps(left))
    if (row !== undefined) {
      this.#rows.put(recordsKey(entry, written), encodeRecordRow({ ...row, isDropped: true }))
      const key = droppedKey(entry)
      this.#rows.put(key, encodeCount(decodeCount(await this.#rows.get(key)) + 1))
    }
    this.dropped++
    await this.#release(version)
  }

  /** Releases the records of a version that is no longer kept, but for those that show it. */
  async #release(version: Version): Promise<void> {
    const { entry, row } = version
    const holders = await this.#holdersOf(version)
    for (const holder of holders) await this.#releaseUnlessHead(entry, holder)
    await this.#releaseWaiting(version)
    const heads = await this.#headsOf(entry)
    if (heads === undefined) return
    // A head that carries the version waits on other members until they have the record that wrote it.
    for (const holder of holders) if (await this.#isHead(entry, heads, holder)) return
    for (const { id } of holders) this.#forgettable.set(toHex(id), heads.past)
    if (row === undefined) return
    this.#forgettable.set(toHex(row.id), heads.past)
    this.#rows.put(Blocks.releasedKey(row.id), NO_BYTES)
    if (row.content !== undefined) this.#rows.put(recordsKey(entry, version.written), encodeRecordRow(releasedRow(row)))
  }

  /**
   * Releases the records that wait for somebody to show the content of a version that a purge has ended. Whether they
   * ever count or not, they cannot show, because the purge is a delete that has seen the version.
   */
  async #releaseWaiting({ entry, written, fate: { isPurged, purgedAtMs } }: Version): Promise<void> {
    if (!isPurged && (purgedAtMs === null || !this.#isOver(purgedAtMs))) return
    for (const { record } of await waitingFor(this.#options.index, entry, written)) {
      const { id, root, stamp } = record
      if (root !== null && !(await Blocks.isReleased(this.#options.index, id))) this.#releaseOne({ id, root, stamp })
    }
  }

  /** If a version was sealed again, releases the records whose contents are no longer the best. */
  async #releaseWorse(version: Version): Promise<void> {
    const { depthOf } = this.#options
    const holders = await this.#holdersOf(version)
    const [first] = holders
    if (first === undefined) return
    const order = (a: Holder, b: Holder): number =>
      depthOf(a.rootEpoch) - depthOf(b.rootEpoch) || compareBytes(a.root, b.root)
    const best = holders.reduce((best, holder) => (order(holder, best) > 0 ? holder : best), first)
    for (const holder of holders)
      if (!equalBytes(holder.root, best.root)) await this.#releaseUnlessHead(version.entry, holder)
  }

  async #holdersOf({ entry, written, row }: Version): Promise<Holder[]> {
    const holders: Holder[] = await carriersOf(this.#options.index, entry, written)
    const content = row?.content === undefined ? undefined : rootInContent(row.content)
    if (row !== undefined && content !== undefined && isBlock(content.root))
      holders.push({ id: row.id, stamp: written, ...content })
    return holders
  }

  async #releaseUnlessHead(entry: Uint8Array, holder: Holder): Promise<void> {
    const { id, stamp } = holder
    if (await Blocks.isReleased(this.#options.index, id)) return
    const heads = await this.#headsOf(entry)
    if (heads === undefined || heads.live.has(toHex(id))) return
    if (await this.#isOlderHead(entry, heads, stamp)) return
    this.#releaseOne(holder)
  }

  #releaseOne({ id, root, stamp }: Pick<Holder, 'id' | 'root' | 'stamp'>): void {
    const named = rootOf(root)
    if (!('cid' in named)) {
      // It claims no block. But no put need wait any more until another member has it.
      this.#rows.put(Blocks.releasedKey(id), NO_BYTES)
      return
    }
    // The number of copies that were wanted no longer matters.
    const ref = { id, root: named.cid, replicas: 1, author: peerIdOf(stamp.author) }
    this.#rows.addAll(Blocks.releaseOps(ref))
    this.released++
  }

  async #isHead(entry: Uint8Array, heads: Heads, { id, stamp }: Holder): Promise<boolean> {
    return heads.all.has(toHex(id)) || (await this.#isOlderHead(entry, heads, stamp))
  }

  async #isOlderHead(entry: Uint8Array, { hasOlder }: Heads, stamp: Stamp): Promise<boolean> {
    return hasOlder && (await this.#options.index.has(olderHeadKey(entry, stamp)))
  }

  async #headsOf(entry: Uint8Array): Promise<Heads | undefined> {
    const key = toHex(entry)
    if (this.#heads.has(key)) return this.#heads.get(key)
    const { index } = this.#options
    const value = await index.get(entryKey(entry))
    const state = value === undefined ? undefined : (await readEntryRow(index, entry, value)).state
    const heads = state && {
      all: new Set(state.heads.map(({ id }) => toHex(id))),
      live: new Set(liveHeads(state).map(({ id }) => toHex(id))),
      hasOlder: state.older > 0,
      past: pastFrom(state.heads)
    }
    this.#heads.set(key, heads)
    return heads
  }
}

function firstArrival(records: ReadonlyArray<{ arrivedAtMs: number }>): number | undefined {
  return records.length === 0
    ? undefined
    : records.reduce((first, { arrivedAtMs }) => Math.min(first, arrivedAtMs), Number.POSITIVE_INFINITY)
}
