/** A set of chunk numbers, one bit each, least significant bit first. Grows as bits are set. */
export class Bitmap {
  #bytes: Uint8Array

  constructor(bytes: Uint8Array = new Uint8Array(0)) {
    this.#bytes = bytes
  }

  /** Returns a bitmap whose first `count` bits are set. */
  static full(count: number): Bitmap {
    const bytes = new Uint8Array(Math.ceil(count / 8)).fill(0xff)
    if (count % 8 !== 0) bytes[bytes.byteLength - 1] = (1 << (count % 8)) - 1
    return new Bitmap(bytes)
  }

  get bytes(): Uint8Array {
    return this.#bytes
  }

  /** The number of bits that are set. */
  get size(): number {
    let size = 0
    for (let byte of this.#bytes) for (; byte !== 0; byte &= byte - 1) size++
    return size
  }

  /** Returns the `count` bits that start at `from`. The result has no bytes for bits beyond the last that is set. */
  slice(from: number, count: number): Bitmap {
    if (from % 8 === 0) {
      const bytes = this.#bytes.slice(from / 8, Math.ceil((from + count) / 8))
      return new Bitmap(bytes).and(Bitmap.full(count))
    }
    const part = new Bitmap()
    const end = Math.min(count, this.#bytes.byteLength * 8 - from)
    for (let bit = 0; bit < end; bit++) if (this.has(from + bit)) part.add(bit)
    return part
  }

  /** Sets the `count` bits that start at `from` to those of `part`. */
  setSlice(from: number, count: number, part: Bitmap): void {
    const end = Math.min(count, this.#bytes.byteLength * 8 - from)
    for (let bit = 0; bit < end; bit++) this.delete(from + bit)
    const set = Math.min(count, part.bytes.byteLength * 8)
    for (let bit = 0; bit < set; bit++) if (part.has(bit)) this.add(from + bit)
  }

  /** Returns the bits that are set in both bitmaps. */
  and(other: Bitmap): Bitmap {
    return new Bitmap(this.#bytes.slice(0, other.bytes.byteLength).map((byte, i) => byte & (other.bytes[i] as number)))
  }

  has(bit: number): boolean {
    return (((this.#bytes[bit >>> 3] ?? 0) >>> (bit & 7)) & 1) === 1
  }

  add(bit: number): void {
    const at = bit >>> 3
    if (at >= this.#bytes.byteLength) {
      const grown = new Uint8Array(Math.max(at + 1, this.#bytes.byteLength * 2))
      grown.set(this.#bytes)
      this.#bytes = grown
    }
    this.#bytes[at] = (this.#bytes[at] as number) | (1 << (bit & 7))
  }

  delete(bit: number): void {
    const at = bit >>> 3
    if (at < this.#bytes.byteLength) this.#bytes[at] = (this.#bytes[at] as number) & ~(1 << (bit & 7))
  }
}
