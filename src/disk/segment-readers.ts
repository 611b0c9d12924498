import { LRUCache } from 'lru-cache'
import { OPEN_SEGMENTS_MAX, RETIRED_SEGMENTS_MAX } from './constants.ts'
import type { Files, ReadFile } from './files.ts'

/** An open file, closed once it was dropped and nobody reads it any more. */
interface Reader {
  file: Promise<ReadFile>
  users: number
  isDropped: boolean
}

/**
 * Open segments, for reading: the ones used last, and those that were removed last. A reader got the place of a row from
 * the index a moment ago; a compaction that has just moved the row away must not make it fail.
 */
export class SegmentReaders {
  readonly #files: Files
  readonly #pathOf: (segment: number) => string
  readonly #open = new LRUCache<number, Reader>({ max: OPEN_SEGMENTS_MAX, dispose: drop })
  readonly #retired = new Map<number, Reader>()

  constructor(files: Files, pathOf: (segment: number) => string) {
    this.#files = files
    this.#pathOf = pathOf
  }

  /** `length` bytes of a segment from `offset`; fewer if it ends before. A `FileMissingError` if there is none. */
  async read(segment: number, offset: number, length: number): Promise<Uint8Array> {
    const reader = this.#retired.get(segment) ?? this.#open.get(segment) ?? this.#opened(segment)
    reader.users++
    try {
      return await (await reader.file).read(offset, length)
    } finally {
      reader.users--
      if (reader.isDropped) drop(reader)
    }
  }

  /** Drops a segment whose file is about to be another. */
  forget(segment: number): void {
    this.#open.delete(segment)
  }

  /** Lets reads of a segment that is about to be removed go on for a while. */
  async retire(segment: number): Promise<void> {
    const reader = { file: this.#files.openRead(this.#pathOf(segment)), users: 0, isDropped: false }
    await reader.file
    this.#open.delete(segment)
    this.#retired.set(segment, reader)
    for (const [oldest, reader] of this.#retired) {
      if (this.#retired.size <= RETIRED_SEGMENTS_MAX) return
      this.#retired.delete(oldest)
      drop(reader)
    }
  }

  close(): void {
    this.#open.clear()
    for (const reader of this.#retired.values()) drop(reader)
    this.#retired.clear()
  }

  #opened(segment: number): Reader {
    const reader = { file: this.#files.openRead(this.#pathOf(segment)), users: 0, isDropped: false }
    this.#open.set(segment, reader)
    reader.file.catch(() => this.#open.delete(segment))
    return reader
  }
}

function drop(reader: Reader): void {
  reader.isDropped = true
  if (reader.users === 0) reader.file.then(file => file.close()).catch(() => {})
}
