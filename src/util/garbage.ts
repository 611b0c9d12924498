/**
 * Buffers of a megabyte become garbage much faster than the small objects by which V8 decides when to collect, so
 * hundreds of megabytes of them may wait. Whoever hands out large buffers that nobody returns counts them here, and the
 * program collects them in time. A library must not do that to its host, so by default nothing happens.
 */

/** A collection takes a millisecond or two. A few of these at a time are little beside what a transfer needs anyway. */
const COLLECT_BYTES = 24 << 20

let collect: (() => void) | undefined
let bytes = 0

/** Sets what collects short-lived garbage. Only a program that owns its process may do so. */
export function collectWith(collector: () => void): void {
  collect = collector
}

/** Notes that buffers of this many bytes will soon be garbage. */
export function noteGarbage(length: number): void {
  bytes += length
  if (bytes < COLLECT_BYTES) return
  bytes = 0
  collect?.()
}
