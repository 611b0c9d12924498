import { LRUCache } from 'lru-cache'
import type { BlockCid } from '../../format/cid.ts'
import { blockKey } from '../../format/cid.ts'
import { toHex } from '../../util/bytes.ts'
import { Bitmap } from '../bitmap.ts'
import { COUNTS_BYTES_MAX, PAGE_CHUNKS } from '../constants.ts'
import type { PutId } from '../hold/claims.ts'

/** The chunks of one page of a file that a put counts on this member for. */
export interface CountedPage {
  /** The index of its first chunk. */
  first: number
  /** Bit 0 stands for `first`. */
  chunks: Bitmap
  /** The time until which all of them are known to be here and claimed; by the wall clock, as claims are. */
  safeUntilAtMs: number
  /**
   * The number of bad blocks found on this disk by the time that this was established. If more have been found since,
   * it is no longer known.
   */
  badFound: number
}

/** The answer that a put got about a part of a page. */
export interface CountedPart {
  /** The index of its first chunk. It does not reach beyond the end of its page. */
  first: number
  /** How many chunks were looked at. */
  covered: number
  /** The chunks among them that the put counts on this member for. Bit 0 stands for `first`. */
  counted: Bitmap
  safeUntilAtMs: number
  badFound: number
}

/** A rough number of bytes that an entry takes in addition to its bitmaps. */
const ENTRY_BYTES = 256

/**
 * Remembers which chunks each put counts on this member for, by put and root. Pages are those of the protocol:
 * `PAGE_CHUNKS` chunks from a multiple of that number. Memory is bounded. If a file was forgotten, its writer is
 * answered `lacking`, and asks for a confirmation again.
 */
export class CountedFiles {
  readonly #files = new LRUCache<string, Map<number, CountedPage>>({
    maxSize: COUNTS_BYTES_MAX,
    sizeCalculation: pages => {
      let size = ENTRY_BYTES
      for (const { chunks } of pages.values()) size += chunks.bytes.byteLength + ENTRY_BYTES
      return size
    }
  })

  /** Replaces what was known of a part of a page. */
  note(put: PutId, root: BlockCid, { first, covered, counted, safeUntilAtMs, badFound }: CountedPart): void {
    const key = keyOf(put, root)
    const start = first - (first % PAGE_CHUNKS)
    const pages = this.#files.get(key) ?? new Map<number, CountedPage>()
    const chunks = pages.get(start)?.chunks ?? new Bitmap()
    chunks.setSlice(first - start, covered, counted)
    const before = first === start ? undefined : pages.get(start)
    pages.set(start, {
      first: start,
      chunks,
      // A page is only as safe as its least safe part. A new pass over the page begins at its start.
      safeUntilAtMs: Math.min(before?.safeUntilAtMs ?? Number.POSITIVE_INFINITY, safeUntilAtMs),
      badFound: Math.min(before?.badFound ?? Number.POSITIVE_INFINITY, badFound)
    })
    this.#files.set(key, pages)
  }

  /** Returns the pages of a file; undefined if nothing of it is counted on this member, or it was forgotten. */
  get(put: PutId, root: BlockCid): CountedPage[] | undefined {
    const pages = this.#files.get(keyOf(put, root))
    return pages === undefined ? undefined : [...pages.values()]
  }
}

function keyOf(put: PutId, root: BlockCid): string {
  return `${toHex(put)} ${blockKey(root)}`
}
