import { byteLengthOf } from '../util/bytes.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import type { Files } from './files.ts'
import { FOOTER, type RowCodec, type SegmentChecksum } from './row.ts'
import { kindOf, paddingAfter, segmentPath } from './segment-layout.ts'
import type { SegmentList } from './segment-list.ts'
import type { SegmentReaders } from './segment-readers.ts'

/**
 * A segment that has no footer yet: the size of the part that is known to be durable, and the content that the footer
 * will have for that part.
 */
export interface Unfinished {
  segment: number
  size: number
  checksum: SegmentChecksum
}

/** A segment after a failed write. */
interface Abandoned extends Unfinished {
  /** True if the file has been cut to its durable part, so that nothing of the failed write can come back. */
  isCut: boolean
}

export interface AbandonedSegmentsOptions {
  files: Files
  list: SegmentList
  readers: SegmentReaders
  codec: RowCodec
  log: Logger
}

/**
 * Segments that were abandoned after a failed write or sync and have no footer yet. It is unknown what such a failure
 * left on the disk. Even if a second fsync succeeds, that proves nothing, because the kernel may have dropped the
 * pages. So an abandoned segment ends where it was last known to be durable, and the next row begins a new segment.
 *
 * The rows of the failed write may have reached the disk completely. The next start would then read them, although the
 * write was refused. So the file is cut at once, before the write is refused. If the disk refuses that too, no row is
 * written until it succeeds. If the process ends before that, the next start cannot tell these rows from accepted ones.
 */
export class AbandonedSegments {
  readonly #options: AbandonedSegmentsOptions
  readonly #unfinished = new Map<number, Abandoned>()

  constructor(options: AbandonedSegmentsOptions) {
    this.#options = options
  }

  has(segment: number): boolean {
    return this.#unfinished.has(segment)
  }

  add({ segment, size, checksum }: Unfinished): void {
    this.#unfinished.set(segment, { segment, size, checksum, isCut: false })
    this.#options.log('abandoned segment %d after a failed write; durable rows: %d', segment, checksum.rows)
  }

  /** Forgets a segment that has been removed. */
  forget(segment: number): void {
    this.#unfinished.delete(segment)
  }

  /** True if a failed write may still have rows on the disk. */
  get hasUncut(): boolean {
    return [...this.#unfinished.values()].some(({ isCut }) => !isCut)
  }

  /** Cuts each segment to its durable part. Throws the error of the disk if one of them cannot be cut. */
  async cutAll(): Promise<void> {
    for (const unfinished of this.#unfinished.values()) if (!unfinished.isCut) await this.#cut(unfinished)
  }

  /** Writes the footer of each segment that has been cut. If the disk fails, the next call tries again. */
  async finishAll(): Promise<void> {
    const { log } = this.#options
    for (const unfinished of this.#unfinished.values()) {
      await this.#finish(unfinished).catch(error =>
        log('could not finish abandoned segment %d: %s', unfinished.segment, reasonOf(error))
      )
    }
  }

  /**
   * Removes abandoned segments that never had a row. A later segment must exist. Otherwise their numbers would be
   * reused.
   */
  async discardEmpty(): Promise<void> {
    const { log } = this.#options
    for (const [segment, { checksum }] of this.#unfinished) {
      if (checksum.rows > 0) continue
      await this.#discard(segment).catch(error =>
        log('could not remove empty segment %d: %s', segment, reasonOf(error))
      )
    }
  }

  async #cut(unfinished: Abandoned): Promise<void> {
    const file = await this.#options.files.openAppend(segmentPath(unfinished.segment))
    try {
      await file.truncate(unfinished.size)
      await file.sync()
      unfinished.isCut = true
    } finally {
      await file.close()
    }
  }

  async #finish({ segment, size, checksum }: Unfinished): Promise<void> {
    const { files, list, codec } = this.#options
    const file = await files.openAppend(segmentPath(segment))
    try {
      const footer = footerOf(codec, { segment, size, checksum })
      await file.truncate(size)
      await file.append(footer)
      await file.sync()
      list.resize(segment, size + byteLengthOf(footer))
      if (checksum.rows > 0) this.#unfinished.delete(segment)
    } finally {
      await file.close()
    }
  }

  async #discard(segment: number): Promise<void> {
    const { files, list, readers } = this.#options
    await files.remove(segmentPath(segment))
    readers.forget(segment)
    list.remove(segment)
    this.#unfinished.delete(segment)
    await files.syncDirectory(kindOf(segment).folder)
  }
}

/** Returns the row that closes a segment, as header, payload and padding. */
export function footerOf(codec: RowCodec, { segment, size, checksum }: Unfinished): Uint8Array[] {
  const { payload } = checksum
  const { header } = codec.header({ type: FOOTER, payload }, { segment, offset: size })
  return [header, payload, paddingAfter(kindOf(segment), header.byteLength + payload.byteLength)]
}
