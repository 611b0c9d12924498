import type { PeerId } from '../../format/peer-id.ts'
import { Bitmap } from '../bitmap.ts'

/** Which members said that they keep which chunks of a file, and which of them should: one bit a chunk and member. */
export class ReplicaCounts {
  /** Chunks that have been told of. */
  chunkCount = 0
  readonly #counted = new Map<PeerId, Bitmap>()
  readonly #expected = new Map<PeerId, Bitmap>()

  /** A member owes a chunk by its rank. */
  expect(peer: PeerId, chunkIndex: number): void {
    bitmapOf(this.#expected, peer).add(chunkIndex)
  }

  /** A member has no room: another owes the chunk in its place. */
  excuse(peer: PeerId, chunkIndex: number): void {
    this.#expected.get(peer)?.delete(chunkIndex)
  }

  /** A member said that it keeps a chunk. */
  count(peer: PeerId, chunkIndex: number): void {
    bitmapOf(this.#counted, peer).add(chunkIndex)
  }

  /** A member is to keep everything. */
  countAll(peer: PeerId): void {
    this.#counted.set(peer, Bitmap.full(this.chunkCount))
  }

  /** A member turned out not to keep these. */
  discount(peer: PeerId, lacking: Bitmap): void {
    const counted = this.#counted.get(peer)
    for (let chunkIndex = 0; chunkIndex < this.chunkCount; chunkIndex++)
      if (lacking.has(chunkIndex)) counted?.delete(chunkIndex)
  }

  /** A member is not counted on any more. */
  drop(peer: PeerId): void {
    this.#counted.delete(peer)
  }

  /** The chunks counted on a member. */
  of(peer: PeerId): Bitmap | undefined {
    return this.#counted.get(peer)
  }

  get peers(): PeerId[] {
    return [...this.#counted.keys()]
  }

  /** Over all chunks the least number of these members that keep it; `own` copies of each are here. */
  leastCopies(peers: ReadonlySet<PeerId>, own: number): number {
    const bitmaps = this.#of(peers)
    let least = Number.POSITIVE_INFINITY
    for (let chunkIndex = 0; chunkIndex < this.chunkCount; chunkIndex++) {
      let copies = own
      for (const counted of bitmaps) if (counted.has(chunkIndex)) copies++
      if (copies < least) least = copies
    }
    return least
  }

  /** Copies that are owed by rank and that none of these members has acknowledged as its own. */
  owed(acknowledged: ReadonlySet<PeerId>): number {
    let owed = 0
    for (const [peer, expected] of this.#expected) {
      const counted = acknowledged.has(peer) ? this.#counted.get(peer) : undefined
      for (let chunkIndex = 0; chunkIndex < this.chunkCount; chunkIndex++)
        if (expected.has(chunkIndex) && counted?.has(chunkIndex) !== true) owed++
    }
    return owed
  }

  #of(peers: ReadonlySet<PeerId>): Bitmap[] {
    return [...this.#counted].filter(([peer]) => peers.has(peer)).map(([, counted]) => counted)
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
