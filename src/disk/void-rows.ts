import { type Logger, reasonOf } from '../util/logger.ts'
import type { FilePiece, Files } from './files.ts'
import type { Place } from './place.ts'
import { ROW_HEADER_BYTES, type RowCodec } from './row.ts'
import { segmentPath } from './segment-layout.ts'
import type { SegmentList } from './segment-list.ts'

export interface VoidRowsOptions {
  files: Files
  list: SegmentList
  codec: RowCodec
  log: Logger
}

/**
 * Undoes rows that became durable although their write fails: it overwrites the type and the checksum of each row in
 * place, so that the row is void. That needs no space on a usual file system. If the disk refuses, the places are
 * remembered, and the next call tries again. They are lost if the process ends before a call has succeeded. Then the
 * next start reads these rows as if they had been accepted.
 */
export class VoidRows {
  readonly #options: VoidRowsOptions
  /** Rows that must be made void and are not yet, by segment. */
  readonly #pending = new Map<number, Place[]>()
  #last: Promise<void> = Promise.resolve()

  constructor(options: VoidRowsOptions) {
    this.#options = options
  }

  get hasPending(): boolean {
    return this.#pending.size > 0
  }

  /** Makes rows void, and resolves once that is durable. Does not throw: `hasPending` says whether the disk refused. */
  async add(places: readonly Place[]): Promise<void> {
    for (const place of places) {
      const pending = this.#pending.get(place.segment)
      if (pending === undefined) this.#pending.set(place.segment, [place])
      else pending.push(place)
    }
    if (places.length > 0) await this.retry()
  }

  /** Tries to make the rows void that an earlier call could not. Does not throw. */
  retry(): Promise<void> {
    // One after another, so that writes that fail at the same time share the work of the first.
    this.#last = this.#last.then(() => this.#retry())
    return this.#last
  }

  async #retry(): Promise<void> {
    for (const [segment, pending] of [...this.#pending]) {
      const places = [...pending]
      try {
        await this.#void(segment, places)
        this.#settled(segment, places.length)
      } catch (error) {
        this.#options.log(
          'could not undo rows of segment %d (%d), so they may count after a restart: %s',
          segment,
          places.length,
          reasonOf(error)
        )
      }
    }
  }

  async #void(segment: number, places: readonly Place[]): Promise<void> {
    const { files, list, codec, log } = this.#options
    // A compaction has removed the segment, and with it these rows. It moves only rows that the index holds.
    if (!list.has(segment)) return
    const path = segmentPath(segment)
    const file = await files.openRead(path)
    const pieces: FilePiece[] = []
    try {
      for (const place of places) {
        const row = codec.parse(await file.read(place.offset, ROW_HEADER_BYTES + place.length), 0, place)
        // A start does not read a damaged row either, so such a row needs no undo.
        if (row !== undefined && !row.isVoid) pieces.push(codec.void(row, place))
      }
    } finally {
      await file.close()
    }
    if (pieces.length > 0) await files.overwrite(path, pieces)
    log('undid rows of segment %d: %d', segment, pieces.length)
  }

  /** Forgets the oldest places of a segment, which are void now. Others may have been added meanwhile. */
  #settled(segment: number, count: number): void {
    const left = (this.#pending.get(segment) ?? []).slice(count)
    if (left.length > 0) this.#pending.set(segment, left)
    else this.#pending.delete(segment)
  }
}
