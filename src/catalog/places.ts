import type { IndexDb } from '../disk/index-db.ts'
import { type EntryRecord, ROOT_ENTRY } from '../format/entry.ts'
import { equalBytes } from '../util/bytes.ts'
import type { Bodies, BodyState } from './bodies.ts'
import { type EntryState, liveHeads, type PlacingPut, placeOf } from './heads.ts'
import { type Names, shownName } from './names.ts'
import type { NewRecord } from './record-reader.ts'
import { placeKey, ROW_WITHOUT_PLACE, type TreeRow } from './rows/entry-row.ts'
import { decodeDirectoryValue, encodeDirectoryValue } from './rows/keys.ts'

export interface PlacesOptions {
  index: Pick<IndexDb, 'get' | 'reportCorrupt'>
  bodies: Bodies
  names: Names
}

/** Where an entry is, and what its row in the directory tables holds. */
export interface EntryPlace extends TreeRow {
  /** The value of its row in the directory tables; undefined if it has no place. */
  value: Uint8Array | undefined
  /** The epoch that seals the place, if its key is not here. */
  sealedIn: Uint8Array | undefined
}

const NO_PLACE: EntryPlace = { ...ROW_WITHOUT_PLACE, value: undefined, sealedIn: undefined }

/** The row that the index has of an entry, and the record that placed the entry there, if it shows. */
interface KnownPlace {
  old: TreeRow | undefined
  before: Uint8Array | undefined
}

/** Computes where entries are, for their rows in the directory tables. */
export class Places {
  readonly #options: PlacesOptions

  constructor(options: PlacesOptions) {
    this.#options = options
  }

  /** Returns the place of an entry, and the value of its row in the directory tables. */
  async of(
    entry: Uint8Array,
    state: EntryState,
    arrived: readonly NewRecord[],
    known: KnownPlace
  ): Promise<EntryPlace> {
    const { names } = this.#options
    if (state.heads.length === 0) return NO_PLACE
    const place = placeOf(state)
    const found = await this.#bodyOf(place, arrived)
    if (found === 'sealed') return { ...NO_PLACE, isSealed: true, sealedIn: place.epoch }
    const body = typeof found === 'string' ? undefined : found
    const kind = body?.kind ?? 'file'
    const live = liveHeads(state).length
    const isDeleted = live === 0
    if (isDeleted && kind !== 'directory') return this.#lastPlace(entry, state, arrived, known)
    const name = shownName(body, entry)
    const isDamaged = name !== body?.name
    const parent = body?.parent ?? ROOT_ENTRY
    const hash = names.hash(name)
    const listed = { placed: place.placed, hasVersions: live > 1, sealedName: names.seal(name, hash) }
    const value = encodeDirectoryValue({ kind, isDamaged, ...listed })
    return { ...NO_PLACE, kind, isDeleted, isDamaged, parent, name: hash, text: name, value }
  }

  /**
   * Returns where a deleted file was last. A delete of a file does not say it, so this is the place of the last put. The
   * row in the directory tables has the stamp of this put. Entries that had one name are ordered by it, so another delete
   * of one of them does not change their order.
   */
  async #lastPlace(
    entry: Uint8Array,
    state: EntryState,
    arrived: readonly NewRecord[],
    { old, before }: KnownPlace
  ): Promise<EntryPlace> {
    const { index, names } = this.#options
    const { lastPut } = state
    if (lastPut === undefined) return NO_PLACE
    const listed = { kind: 'file', placed: lastPut.stamp, hasVersions: false } as const
    if (old?.name !== undefined && before !== undefined && equalBytes(before, lastPut.id)) {
      // The file was here until this batch, so its name need not be read from a record.
      if (old.kind === 'directory') return NO_PLACE
      const row = await index.get(placeKey(entry, old) as Uint8Array)
      if (row === undefined) throw index.reportCorrupt('the index lacks the row of an entry in its directory')
      const value = encodeDirectoryValue({
        ...listed,
        isDamaged: false,
        sealedName: decodeDirectoryValue(row).sealedName
      })
      return { ...NO_PLACE, parent: old.parent, name: old.name, value }
    }
    const found = await this.#bodyOf(lastPut, arrived)
    if (found === 'sealed') return { ...NO_PLACE, isSealed: true, sealedIn: lastPut.epoch }
    // The log may have forgotten the last put of a file of which no version is kept.
    if (found === 'damaged' && (await this.#isUnknown(lastPut, arrived))) return this.#knownPlace(entry, old)
    const body = typeof found === 'string' ? undefined : found
    // A directory whose delete has no body is no directory any more, and cannot be told from a file that is damaged.
    if (body?.kind === 'directory') return NO_PLACE
    const name = shownName(body, entry)
    const isDamaged = name !== body?.name
    const hash = names.hash(name)
    const value = encodeDirectoryValue({ ...listed, isDamaged, sealedName: names.seal(name, hash) })
    return { ...NO_PLACE, isDamaged, parent: body?.parent ?? ROOT_ENTRY, name: hash, value }
  }

  /** Returns the place that the row of a deleted file says: its delete may be projected again when a compaction moves it. */
  async #knownPlace(entry: Uint8Array, old: TreeRow | undefined): Promise<EntryPlace> {
    if (old?.name === undefined || !old.isDeleted || old.kind === 'directory') return NO_PLACE
    const value = await this.#options.index.get(placeKey(entry, old) as Uint8Array)
    return value === undefined ? NO_PLACE : { ...NO_PLACE, ...old, value }
  }

  async #isUnknown({ id }: PlacingPut, arrived: readonly NewRecord[]): Promise<boolean> {
    if (arrived.some(({ record }) => equalBytes(record.id, id))) return false
    return (await this.#options.bodies.entryOf(id)) === undefined
  }

  /**
   * Returns the body of a record. It looks in the batch first, because the log does not have the batch's records yet.
   */
  async #bodyOf(place: Pick<EntryRecord, 'id' | 'epoch' | 'op'>, arrived: readonly NewRecord[]): Promise<BodyState> {
    const { bodies } = this.#options
    const statement = arrived.find(({ record }) => equalBytes(record.id, place.id))?.statement
    return statement === undefined ? bodies.stateOf(place) : bodies.stateOfStatement(statement)
  }
}
