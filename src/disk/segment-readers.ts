import { LRUCache } from 'lru-cache'
import { type Logger, reasonOf } from '../util/logger.ts'
import { OPEN_SEGMENTS_MAX } from './constants.ts'
import type { Files, ReadFile } from './files.ts'
import { kindOf, segmentPath } from './segment-layout.ts'

/** An open file. It is closed once it has been dropped and no read is under way. */
interface Reader {
  file: Promise<ReadFile>
  users: number
  isDropped: boolean
}

/**
 * Keeps two groups of segments open for reading: those used most recently and those removed since `forgetRetired`. A caller
 * gets the place of a row from the index shortly before it reads the row. If a compaction moves the row in between,
 * reading the old place must not fail.
 */
export class SegmentReaders {
  readonly #files: Files
  readonly #log: Logger
  readonly #open = new LRUCache<number, Reader>({ max: OPEN_SEGMENTS_MAX, dispose: reader => this.#drop(reader) })
  readonly #retired = new Map<number, Reader>()

  constructor(files: Files, log: Logger) {
    this.#files = files
    this.#log = log
  }

  /**
   * Returns `length` bytes of a segment from `offset`, or fewer if the segment ends earlier. Throws a
   * `FileMissingError` if there is no such segment.
   */
  async read(segment: number, offset: number, length: number): Promise<Uint8Array> {
    const reader = this.#retired.get(segment) ?? this.#open.get(segment) ?? this.#openNow(segment)
    reader.users++
    try {
      return await (await reader.file).read(offset, length)
    } finally {
      reader.users--
      if (reader.isDropped) this.#drop(reader)
    }
  }

  /** Drops a segment whose number is about to be used by another file. */
  forget(segment: number): void {
    this.#open.delete(segment)
  }

  /** Makes sure that a segment that is about to be removed can still be read for a while. */
  async retire(segment: number): Promise<void> {
    const reader = this.#reader(segment)
    await reader.file
    this.#open.delete(segment)
    this.#retired.set(segment, reader)
  }

  /** Closes the segments that were removed, so that the disk has their space again. */
  forgetRetired(): void {
    for (const reader of this.#retired.values()) this.#drop(reader)
    this.#retired.clear()
  }

  close(): void {
    this.#open.clear()
    this.forgetRetired()
  }

  #reader(segment: number): Reader {
    const { isPastCache } = kindOf(segment)
    return { file: this.#files.openRead(segmentPath(segment), { isPastCache }), users: 0, isDropped: false }
  }

  #openNow(segment: number): Reader {
    const reader = this.#reader(segment)
    this.#open.set(segment, reader)
    // The caller gets the error. The next caller opens the file again.
    reader.file.catch(() => this.#open.delete(segment))
    return reader
  }

  #drop(reader: Reader): void {
    reader.isDropped = true
    if (reader.users > 0) return
    reader.file
      .then(file => file.close())
      .catch(error => this.#log.trace('a segment was not open or could not be closed: %s', reasonOf(error)))
  }
}
