/**
 * Buffers of blocks that are used again. A fresh megabyte costs more than to encrypt it (its pages are touched for the
 * first time), and megabytes that wait for the collector make it go over the whole heap again and again. Whoever is sure
 * to be the last that holds a buffer gives it back; one that nobody gives back is garbage like any other.
 */

/** Smaller ones cost little. */
const POOLED_BYTES_MIN = 256 << 10
/** Free ones that are kept for the next, over all lengths. */
const FREE_BYTES_MAX = 32 << 20

const freeByLength = new Map<number, Uint8Array[]>()
let freeBytes = 0

/** A buffer of so many bytes, whatever they are; it shares its memory with nothing. */
export function takeBuffer(length: number): Buffer {
  const free = freeByLength.get(length)?.pop()
  if (free === undefined) return Buffer.allocUnsafeSlow(length)
  freeBytes -= length
  return Buffer.from(free.buffer as ArrayBuffer)
}

/** Gives a buffer back. Nobody may read or write it from here on; what is only a part of some memory is left alone. */
export function giveBuffer(bytes: Uint8Array): void {
  const { byteLength: length, buffer } = bytes
  if (length < POOLED_BYTES_MIN || length !== buffer.byteLength || freeBytes + length > FREE_BYTES_MAX) return
  const free = freeByLength.get(length) ?? []
  // Twice the same would be one buffer with two owners.
  if (free.some(known => known.buffer === buffer)) return
  free.push(bytes)
  freeBytes += length
  freeByLength.set(length, free)
}
