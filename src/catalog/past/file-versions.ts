import type { IndexDb } from '../../disk/index-db.ts'
import { type EntryBody, type EntryRecord, readRecord } from '../../format/entry.ts'
import { compareStamps, type Stamp } from '../../format/stamp.ts'
import type { Statement } from '../../format/statement.ts'
import type { Log } from '../../log/log.ts'
import { batchesOf } from '../../util/batches.ts'
import { equalBytes, NO_BYTES, toHex } from '../../util/bytes.ts'
import { InvalidInputError } from '../../util/errors.ts'
import type { Bodies } from '../bodies.ts'
import { LIST_BATCH, MERGED_ENTRIES_MAX, VERSION_DIGITS_MIN } from '../constants.ts'
import { DamagedEntryError, NotFoundError, VersionExpiredError } from '../errors.ts'
import { stampKey } from '../heads.ts'
import { mergeSorted } from '../listing/merge-sorted.ts'
import { recordsKey, recordsOf, stampOfRecord } from '../rows/keys.ts'
import { contentOf, decodeRecordRow, type RecordRow } from '../rows/record-rows.ts'
import type { Tree } from '../tree.ts'
import type { FileNode } from '../tree-node.ts'
import type { Versions } from '../versions/versions.ts'
import type { PastEntries, PastEntry } from './past-entries.ts'
import type { PastPlace, PastTree } from './past-tree.ts'

export interface FileVersionsOptions {
  index: Pick<IndexDb, 'range' | 'get'>
  tree: Pick<Tree, 'entry'>
  past: PastTree
  entries: PastEntries
  bodies: Pick<Bodies, 'open' | 'need'>
  log: Pick<Log, 'get'>
  /** Says how long versions are kept. */
  kept: Pick<Versions, 'endOf' | 'keptMs'>
  /** The codecs that manifest nodes may have. */
  nodeCodecs: readonly number[]
}

/** A version of a file, or a delete of it: what the index knows of it. */
export interface VersionRow {
  entry: Uint8Array
  /** The file that goes on with this version: the entry, or the one that continues it. */
  file: Uint8Array
  /** The id of the record that wrote the content, or that deleted the file. */
  id: Uint8Array
  stamp: Stamp
  isDelete: boolean
  /** The bytes of `contentOf`; empty for a delete, and for a version of which nothing is kept. */
  content: Uint8Array
  /** True for the content that the file shows now. */
  isCurrent: boolean
  /** True for content that was written at the same time as other content, and that nobody has replaced yet. */
  isConflict: boolean
  /** True if the version is no longer kept, so that its content cannot be read any more. */
  isDropped: boolean
  /** When the record reached this member, in ms since the Unix epoch. */
  arrivedAtMs: number
}

/** A version with what its record says. */
export interface Version extends VersionRow {
  /** Undefined for a delete, and if the record cannot be read. */
  body: EntryBody | undefined
  /** When it stops being kept, in ms since the Unix epoch; null while it has not ended, and for a delete. */
  expiresAtMs: number | null
  /** True if a purge has ended it. */
  isPurged: boolean
}

/** A version whose content can be read. */
export interface ReadableVersion extends VersionRow {
  record: EntryRecord
  body: EntryBody
}

/**
 * The versions of files. A version is one `written`: the record that wrote it names it. The versions of a path are those
 * of the file that is there, of other files that show as its conflicts, and of the files that were deleted there. A
 * file that went on under a new id has the versions of the old id too.
 */
export class FileVersions {
  readonly #options: FileVersionsOptions

  constructor(options: FileVersionsOptions) {
    this.#options = options
  }

  /** Yields the versions of a path and the deletes between them, the latest first. */
  async *list(place: PastPlace): AsyncGenerator<Version> {
    for await (const some of batchesOf(this.rows(place), LIST_BATCH))
      yield* await Promise.all(some.map(async row => ({ ...row, ...(await this.#detailsOf(row)) })))
  }

  /**
   * Yields what the index has of the versions of a path, the latest first. If a name was used very often, its entries
   * are merged `MERGED_ENTRIES_MAX` at a time.
   */
  async *rows(place: PastPlace): AsyncGenerator<VersionRow> {
    for await (const entries of batchesOf(this.#options.entries.at(place), MERGED_ENTRIES_MAX))
      yield* mergeSorted(
        entries.map(entry => this.#rowsOf(entry)),
        (a, b) => compareStamps(b.stamp, a.stamp)
      )
  }

  /**
   * Yields the versions of a path that an id with these first hex digits may name. A record that moved the file stands
   * for the content that it carried.
   */
  async *#named(place: PastPlace, digits: string): AsyncGenerator<VersionRow> {
    for await (const entry of this.#options.entries.at(place)) yield* this.#namedIn(entry, digits)
  }

  /**
   * Finds the version of a path whose id begins with these hex digits. The id of a delete names what it deleted. Throws
   * an `InvalidInputError` for text that is no id and for digits that fit several versions, and a `NotFoundError`.
   */
  async find(place: PastPlace, text: string): Promise<VersionRow> {
    const digits = text.toLowerCase()
    if (!/^[0-9a-f]{1,64}$/.test(digits) || digits.length < VERSION_DIGITS_MIN)
      throw new InvalidInputError(
        `a version is named by at least ${VERSION_DIGITS_MIN} digits of its id, as "dfs versions" shows it`
      )
    let found: VersionRow | undefined
    for await (const row of this.#named(place, digits)) {
      if (found !== undefined && !(equalBytes(found.entry, row.entry) && compareStamps(found.stamp, row.stamp) === 0))
        throw new InvalidInputError('several versions of this file begin with these digits: give more of them')
      found = row
    }
    if (found?.isDelete === true) found = await this.latestOf(found.entry, found.stamp)
    if (found === undefined) throw new NotFoundError('this file has no such version: "dfs versions" shows those it has')
    return found
  }

  /** Returns the latest version of the file at a path whose content is not the current one. */
  async other(place: PastPlace, { shown, record }: FileNode): Promise<VersionRow | undefined> {
    const current = contentOf(shown.content ?? record)
    for await (const row of this.rows(place))
      if (!row.isDelete && !row.isCurrent && !row.isDropped && !equalBytes(row.content, current)) return row
    return undefined
  }

  /** Returns the version that a node shows; undefined if the record that wrote it is not here. */
  shownBy({ id, record }: FileNode): Promise<VersionRow | undefined> {
    return this.at(id, record.written)
  }

  /** Returns the version of an entry with this `written`; undefined if the record that wrote it is not here. */
  async at(entry: Uint8Array, written: Stamp): Promise<VersionRow | undefined> {
    const value = await this.#options.index.get(recordsKey(entry, written))
    return value === undefined
      ? undefined
      : rowOf(await this.#options.entries.one(entry), written, decodeRecordRow(value))
  }

  /**
   * Returns the latest version of an entry that is kept, or the latest at all if none is; with `before`, the latest
   * before this stamp.
   */
  async latestOf(entry: Uint8Array, before?: Stamp): Promise<VersionRow | undefined> {
    let latest: VersionRow | undefined
    for await (const row of this.#rowsOf(await this.#options.entries.one(entry), before)) {
      if (row.isDelete) continue
      if (!row.isDropped) return row
      latest ??= row
    }
    return latest
  }

  /** Returns what a restore of a deleted file would bring back; undefined if nothing of it is kept. */
  async lastOf(entry: Uint8Array): Promise<Version | undefined> {
    const row = await this.latestOf(entry)
    if (row === undefined || row.isDropped) return undefined
    const version = { ...row, ...(await this.#detailsOf(row)) }
    return version.isPurged ? undefined : version
  }

  /**
   * Returns the record and the body of a version. Throws a `VersionExpiredError` if it is no longer kept, a `NoKeyError`
   * if its key is not here, and a `DamagedEntryError` if neither the record nor a head with its content can be read.
   */
  async read(row: VersionRow): Promise<ReadableVersion> {
    const end = await this.#endOf(row)
    if (row.isDropped || end.isPurged) throw new VersionExpiredError(end)
    for await (const id of this.#carriersOf(row)) {
      const record = await this.#recordOf(id)
      const body = record === undefined ? undefined : await this.#options.bodies.open({ id })
      if (record !== undefined && body !== undefined) return { ...row, record, body }
    }
    const record = await this.#recordOf(row.id)
    if (record !== undefined) await this.#options.bodies.need(record)
    throw new DamagedEntryError('the record of this version is damaged: its content cannot be read')
  }

  /**
   * Yields the versions and the deletes of an entry, the latest first. If there are several deletes with no put between
   * them, it yields only the first: the others came at the same time, or only purged what was deleted already.
   */
  async *#rowsOf(entry: PastEntry, before?: Stamp): AsyncGenerator<VersionRow> {
    const after = before === undefined ? undefined : recordsKey(entry.id, before)
    let removed: VersionRow | undefined
    for await (const { key, value } of this.#options.index.range(recordsOf(entry.id), { reverse: true, after })) {
      const { stamp, isTwin } = stampOfRecord(key)
      if (isTwin) continue
      const found = decodeRecordRow(value)
      const row = rowOf(entry, stamp, found)
      if (found.isDelete) removed = row
      else {
        if (removed !== undefined && !entry.isContinued) yield removed
        removed = undefined
        if (row !== undefined) yield row
      }
    }
    if (removed !== undefined && !entry.isContinued) yield removed
  }

  async *#namedIn(entry: PastEntry, digits: string): AsyncGenerator<VersionRow> {
    for await (const { key, value } of this.#options.index.range(recordsOf(entry.id))) {
      const { stamp, isTwin } = stampOfRecord(key)
      const found = decodeRecordRow(value)
      if (isTwin || !toHex(found.id).startsWith(digits)) continue
      const row = rowOf(entry, stamp, found) ?? (await this.#carriedBy(entry, found.id))
      if (row !== undefined) yield row
    }
  }

  /** Returns the version whose content a record carries. */
  async #carriedBy(entry: PastEntry, id: Uint8Array): Promise<VersionRow | undefined> {
    const written = (await this.#recordOf(id))?.written
    const found = written === undefined ? undefined : await this.at(entry.id, written)
    return found === undefined ? undefined : { ...found, file: entry.file }
  }

  async #recordOf(id: Uint8Array): Promise<EntryRecord | undefined> {
    const { log, nodeCodecs } = this.#options
    const found = await log.get(id)
    return found?.statement.kind === 'entry'
      ? readRecord(found.statement as Statement<'entry'>, found.author, nodeCodecs)
      : undefined
  }

  async #detailsOf(row: VersionRow): Promise<Pick<Version, 'body' | 'expiresAtMs' | 'isPurged'>> {
    if (row.isDelete) return { body: undefined, expiresAtMs: null, isPurged: false }
    const [body, { expiresAtMs, isPurged }] = await Promise.all([this.#bodyOf(row), this.#endOf(row)])
    return { body, expiresAtMs, isPurged }
  }

  #endOf({ entry, stamp, arrivedAtMs, isDropped }: VersionRow): ReturnType<Versions['endOf']> {
    return this.#options.kept.endOf(entry, { written: stamp, arrivedAtMs, isReleased: isDropped })
  }

  async #bodyOf(row: VersionRow): Promise<EntryBody | undefined> {
    for await (const id of this.#carriersOf(row)) {
      const body = await this.#options.bodies.open({ id })
      if (body !== undefined) return body
    }
    return undefined
  }

  /** Yields the record that wrote a version, and then the heads that carry its content, in case that one is lost. */
  async *#carriersOf({ id, entry, stamp }: VersionRow): AsyncGenerator<Uint8Array> {
    yield id
    const heads = (await this.#options.tree.entry(entry))?.row.state.heads ?? []
    for (const head of heads)
      if (head.op === 'put' && compareStamps(head.written, stamp) === 0 && !equalBytes(head.id, id)) yield head.id
  }
}

/** Returns the version, or the delete, that a row is about; undefined if its record carries the content of another. */
function rowOf(entry: PastEntry, stamp: Stamp, row: RecordRow): VersionRow | undefined {
  const { id, wrote, content, isDelete, isDropped, arrivedAtMs } = row
  if (!wrote && !isDelete) return undefined
  const key = stampKey(stamp)
  const isCurrent = !isDelete && entry.current === key
  const isConflict = !isDelete && entry.conflicts.has(key)
  const known = { entry: entry.id, file: entry.file, id, stamp, isDelete, content: content ?? NO_BYTES }
  return { ...known, isCurrent, isConflict, isDropped, arrivedAtMs }
}
