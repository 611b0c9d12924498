/**
 * A pool of buffers for blocks. A fresh megabyte costs more than encrypting it, because its pages are touched for the
 * first time. Megabytes that wait for the garbage collector also make it scan the whole heap again and again. A caller
 * that is sure to hold the last reference to a buffer returns it to the pool. A buffer that nobody returns is
 * garbage-collected like any other.
 */

/** Smaller buffers cost little, so they are not pooled. */
const POOLED_BYTES_MIN = 256 << 10
/** The most bytes that the pool holds, over all buffer lengths. */
const FREE_BYTES_MAX = 32 << 20

const freeByLength = new Map<number, Uint8Array[]>()
let freeBytes = 0

/** Returns a buffer of this length with arbitrary content. It shares its memory with no other buffer. */
export function takeBuffer(length: number): Buffer {
  const free = freeByLength.get(length)?.pop()
  if (free === undefined) return Buffer.allocUnsafeSlow(length)
  freeBytes -= length
  return Buffer.from(free.buffer as ArrayBuffer)
}

/**
 * Returns a buffer to the pool. The caller must hold the only reference, and must not use it any more. A view of only a
 * part of its memory is ignored. If the pool is full, the length of which it holds the most makes room: what a put has
 * left there would otherwise leave no room for the buffers of a get.
 */
export function returnBuffer(bytes: Uint8Array): void {
  const { byteLength: length, buffer } = bytes
  if (length < POOLED_BYTES_MIN || length !== buffer.byteLength || length > FREE_BYTES_MAX) return
  const free = freeByLength.get(length) ?? []
  // If the same memory were in the pool twice, it would get two owners.
  if (free.some(known => known.buffer === buffer)) return
  free.push(bytes)
  freeBytes += length
  freeByLength.set(length, free)
  while (freeBytes > FREE_BYTES_MAX) dropOne()
}

/** Frees a buffer at once, because memory that waits for the garbage collector is what the pool exists to avoid. */
function dropOne(): void {
  const piles = [...freeByLength].map(([length, free]) => ({ length, free, bytes: length * free.length }))
  const largest = piles.reduce((a, b) => (b.bytes > a.bytes ? b : a))
  const { buffer } = largest.free.shift() as Uint8Array
  freeBytes -= largest.length
  if (largest.free.length === 0) freeByLength.delete(largest.length)
  if (buffer instanceof ArrayBuffer) buffer.transfer(0)
}
