import type { PeerId } from '../../format/peer-id.ts'
import { Bitmap } from '../bitmap.ts'

/**
 * Records which members said that they keep which chunks of a file, and which members owe them by their rank: one bit
 * per chunk and member. Only one part of a put writes to it at a time: first the placer, then the put itself, then the
 * acknowledgement.
 */
export class ReplicaCounts {
  /** The number of chunks of the file that have been placed so far. */
  chunkCount = 0
  readonly #counted = new Map<PeerId, Bitmap>()
  readonly #expected = new Map<PeerId, Bitmap>()

  /** Notes a chunk that has been placed. */
  addChunk(chunkIndex: number): void {
    this.chunkCount = Math.max(this.chunkCount, chunkIndex + 1)
  }

  /** Records that a member owes a chunk, because of its rank for that chunk. */
  expect(peer: PeerId, chunkIndex: number): void {
    bitmapOf(this.#expected, peer).add(chunkIndex)
  }

  /** Notes that a member has no room, so that another member owes the chunk in its place. */
  releaseDebt(peer: PeerId, chunkIndex: number): void {
    this.#expected.get(peer)?.delete(chunkIndex)
  }

  /** Notes that a member said that it keeps a chunk. */
  count(peer: PeerId, chunkIndex: number): void {
    bitmapOf(this.#counted, peer).add(chunkIndex)
  }

  /** Counts on a member for every chunk. The member is about to be asked to keep them all. */
  countAll(peer: PeerId): void {
    this.#counted.set(peer, Bitmap.full(this.chunkCount))
  }

  /** Stops counting on a member for these chunks, which it turned out not to have. */
  discount(peer: PeerId, lacking: Bitmap): void {
    const counted = this.#counted.get(peer)
    for (let chunkIndex = 0; chunkIndex < this.chunkCount; chunkIndex++)
      if (lacking.has(chunkIndex)) counted?.delete(chunkIndex)
  }

  /** Stops counting on a member altogether. */
  drop(peer: PeerId): void {
    this.#counted.delete(peer)
  }

  /** Returns the chunks that a member is counted on for. */
  chunksOf(peer: PeerId): Bitmap | undefined {
    return this.#counted.get(peer)
  }

  /** The members that are counted on for at least one chunk. */
  get peers(): PeerId[] {
    return [...this.#counted.keys()]
  }

  /**
   * Returns the number of copies of the chunk that has the fewest. It counts the copies on these members, and `own`
   * copies of each chunk here.
   */
  leastCopies(peers: ReadonlySet<PeerId>, own: number): number {
    const bitmaps = [...this.#counted].filter(([peer]) => peers.has(peer)).map(([, counted]) => counted)
    let least = Number.POSITIVE_INFINITY
    for (let chunkIndex = 0; chunkIndex < this.chunkCount; chunkIndex++) {
      let copies = own
      for (const counted of bitmaps) if (counted.has(chunkIndex)) copies++
      if (copies < least) least = copies
    }
    return least
  }

  /** Returns the number of copies of chunks that members owe by their rank and have not acknowledged. */
  owed(acknowledged: ReadonlySet<PeerId>): number {
    let owed = 0
    for (const [, chunkCount] of this.owedBy(acknowledged)) owed += chunkCount
    return owed
  }

  /** Yields the members that owe chunks which they have not acknowledged, each with the number of these chunks. */
  *owedBy(acknowledged: ReadonlySet<PeerId>): Generator<[PeerId, number]> {
    for (const [peer, expected] of this.#expected) {
      const counted = acknowledged.has(peer) ? this.#counted.get(peer) : undefined
      let owed = 0
      for (let chunkIndex = 0; chunkIndex < this.chunkCount; chunkIndex++)
        if (expected.has(chunkIndex) && counted?.has(chunkIndex) !== true) owed++
      if (owed > 0) yield [peer, owed]
    }
  }
}

function bitmapOf(bitmaps: Map<PeerId, Bitmap>, peer: PeerId): Bitmap {
  let bitmap = bitmaps.get(peer)
  if (bitmap === undefined) {
    bitmap = new Bitmap()
    bitmaps.set(peer, bitmap)
  }
  return bitmap
}
