import type { IndexDb } from '../../disk/index-db.ts'
import type { Stamp } from '../../format/stamp.ts'
import type { Clock } from '../../util/clock.ts'
import type { EntryState } from '../heads.ts'
import { recordsOf, stampOfRecord } from '../rows/keys.ts'
import { decodeRecordRow } from '../rows/record-rows.ts'
import { type Fate, fateOf } from './fate.ts'
import { droppedKey } from './keys.ts'
import { decodeCount } from './small-rows.ts'

/** A version of an entry: the content that one record wrote. */
export interface Version {
  /** The id of the record that wrote it. */
  record: Uint8Array
  written: Stamp
  /** When it reached this member, in ms since the Unix epoch. */
  arrivedAtMs: number
  /** When it was replaced or deleted, as far as this member knows; null while nothing has done so. */
  endedAtMs: number | null
  /** When it stops being kept, or stopped. Null while it has not ended, and if that moment is not known. */
  expiresAtMs: number | null
  /** When a purge ends it, or did; null if none does. */
  purgedAtMs: number | null
  /** True if a purge has ended it, for good. The worker that releases it may be a moment late. */
  isPurged: boolean
  /** True once it is no longer kept: it cannot be restored, and its space returns. */
  isReleased: boolean
}

export interface VersionsOptions {
  index: Pick<IndexDb, 'get' | 'has' | 'range'>
  /** How long a version is kept after its end, in ms. */
  keptMs: () => number
  clock: Pick<Clock, 'now'>
}

/** Says which versions there are, and how long they are kept here. */
export class Versions {
  readonly #options: VersionsOptions

  constructor(options: VersionsOptions) {
    this.#options = options
  }

  /** How long a version is kept after its end, in ms, according to the settings of the network. */
  get keptMs(): number {
    return this.#options.keptMs()
  }

  /** Yields the versions of an entry, the oldest first, or the newest with `reverse`. */
  async *of(entry: Uint8Array, { reverse = false }: { reverse?: boolean } = {}): AsyncGenerator<Version> {
    const { index } = this.#options
    for await (const { key, value } of index.range(recordsOf(entry), { reverse })) {
      const { stamp: written, isTwin } = stampOfRecord(key)
      if (isTwin) continue
      const { id, wrote, arrivedAtMs, isDropped } = decodeRecordRow(value)
      if (!wrote) continue
      const end = await this.endOf(entry, { written, arrivedAtMs, isReleased: isDropped })
      yield { record: id, written, arrivedAtMs, ...end, isReleased: isDropped }
    }
  }

  /** Returns when a version ended, from when on it is no longer kept, and when a purge ends it. */
  async endOf(
    entry: Uint8Array,
    version: Pick<Version, 'written' | 'arrivedAtMs' | 'isReleased'>
  ): Promise<Pick<Version, 'endedAtMs' | 'expiresAtMs' | 'purgedAtMs' | 'isPurged'>> {
    const fate = await fateOf(this.#options.index, entry, version)
    const { endedAtMs, purgedAtMs } = fate
    const expiresAtMs = this.#expiryOf(fate)
    const nowMs = this.#options.clock.now()
    // The purge of a writer takes effect only while the clock is right, so until then nothing is said to be purged.
    const isPurged = fate.isPurged || (version.isReleased && purgedAtMs !== null && purgedAtMs <= nowMs)
    // It was one of too many short-lived versions, or was kept for fewer days then.
    const isUnknown = version.isReleased && expiresAtMs !== null && expiresAtMs > nowMs
    return { endedAtMs, expiresAtMs: isUnknown ? null : expiresAtMs, purgedAtMs, isPurged }
  }

  /**
   * Returns when the last version of an entry expires, so that all of its space can return; null if a version of it has
   * not ended, or if none is kept.
   */
  async freesAtMs(entry: Uint8Array): Promise<number | null> {
    let last: number | null = null
    for await (const { expiresAtMs, isReleased } of this.of(entry)) {
      if (isReleased) continue
      if (expiresAtMs === null) return null
      last = Math.max(last ?? expiresAtMs, expiresAtMs)
    }
    return last
  }

  /** Returns how many versions of an entry are kept, the one that shows included. */
  async count(entry: Uint8Array, { writes }: Pick<EntryState, 'writes'>): Promise<number> {
    return Math.max(0, writes - decodeCount(await this.#options.index.get(droppedKey(entry))))
  }

  #expiryOf({ endedAtMs, purgedAtMs }: Fate): number | null {
    if (endedAtMs === null) return purgedAtMs
    const expiresAtMs = endedAtMs + this.keptMs
    return purgedAtMs === null ? expiresAtMs : Math.min(expiresAtMs, purgedAtMs)
  }
}
