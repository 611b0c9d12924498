/**
 * A pool of buffers for blocks. A fresh megabyte costs more than encrypting it, because its pages are touched for the
 * first time. Memory that waits for the garbage collector makes the process large, and makes the collector scan the
 * whole heap again and again. A caller that is sure to hold the last reference to a buffer returns it to the pool. A
 * buffer that nobody returns is garbage-collected like any other.
 *
 * Files have all sizes, so a buffer may be given out again for another length. Its memory has one of a few sizes, four
 * for each power of two.
 */

/** Smaller buffers cost little, so they are not pooled. */
const POOLED_BYTES_MIN = 32 << 10
/** The most bytes that the pool holds, over all sizes. */
const FREE_BYTES_MAX = 16 << 20
/** Room for what a seal adds, so that a sealed megabyte does not need the memory of a megabyte and a quarter. */
const SLACK_BYTES = 1 << 10

const freeBySize = new Map<number, ArrayBuffer[]>()
let freeBytes = 0

/** Returns a buffer of this length with arbitrary content. It shares its memory with no other buffer. */
export function takeBuffer(length: number): Buffer {
  if (length < POOLED_BYTES_MIN) return Buffer.allocUnsafeSlow(length)
  const size = sizeFor(length)
  const memory = freeBySize.get(size)?.pop()
  if (memory === undefined) return Buffer.allocUnsafeSlow(size).subarray(0, length)
  freeBytes -= size
  return Buffer.from(memory, 0, length)
}

/**
 * Returns a buffer to the pool. The caller must hold the only reference, and must not use it any more. A view of only a
 * part of a buffer is ignored. If the pool is full, the size of which it holds the most makes room: what a put has left
 * there would otherwise leave no room for the buffers of a get.
 */
export function returnBuffer({ buffer: memory, byteOffset, byteLength }: Uint8Array): void {
  const isPooled = byteLength >= POOLED_BYTES_MIN && byteOffset === 0 && sizeFor(byteLength) === memory.byteLength
  if (!isPooled || !(memory instanceof ArrayBuffer)) return
  const size = memory.byteLength
  const pile = freeBySize.get(size) ?? []
  // If the same memory were in the pool twice, it would get two owners.
  if (pile.includes(memory)) return
  pile.push(memory)
  freeBytes += size
  freeBySize.set(size, pile)
  while (freeBytes > FREE_BYTES_MAX) dropOne()
}

/** Frees a buffer at once, because memory that waits for the garbage collector is what the pool exists to avoid. */
function dropOne(): void {
  const piles = [...freeBySize].map(([size, pile]) => ({ size, pile, bytes: size * pile.length }))
  const largest = piles.reduce((a, b) => (b.bytes > a.bytes ? b : a))
  const memory = largest.pile.shift() as ArrayBuffer
  freeBytes -= largest.size
  if (largest.pile.length === 0) freeBySize.delete(largest.size)
  memory.transfer(0)
}

/** Returns the size of the memory for a buffer of this length. It is larger than the length by a quarter at most. */
function sizeFor(length: number): number {
  const bytes = Math.max(POOLED_BYTES_MIN, length - SLACK_BYTES)
  const step = 2 ** (29 - Math.clz32(bytes))
  return Math.ceil(bytes / step) * step + SLACK_BYTES
}
