import { decodeHlc, type Hlc, hlcMs } from '../format/stamp.ts'
import type { Statement } from '../format/statement.ts'

/** A device's grant and the grants above it, up to the one that the root signed. The root's comes first. */
export type GrantChain = ReadonlyArray<Statement<'grant'>>

/**
 * The last stamp under which a chain of grants counts: the earliest `notAfter` in it. Undefined if it has no end.
 */
export function endOf(chain: GrantChain): Hlc | undefined {
  return chain.map(notAfterOf).reduce(earlier, undefined)
}

/** The last stamp under which this grant alone counts; undefined if it has no end. */
export function notAfterOf({ fields: { notAfter } }: Statement<'grant'>): Hlc | undefined {
  return notAfter === undefined ? undefined : decodeHlc(notAfter)
}

/** Returns the earlier of two ends. Undefined means that there is no end. */
export function earlier(a: Hlc | undefined, b: Hlc | undefined): Hlc | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return a < b ? a : b
}

/** Returns true if something with this end is over at a time, given in milliseconds since the Unix epoch. */
export function isOver(end: Hlc | undefined, nowMs: number): boolean {
  return end !== undefined && hlcMs(end) < nowMs
}
