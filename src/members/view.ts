import { hash } from 'node:crypto'
import { encodeCanonical } from '../format/canonical.ts'
import type { MemberState, Role } from '../format/kinds.ts'
import type { PeerId } from '../format/peer-id.ts'
import { type Hlc, hlcMs } from '../format/stamp.ts'
import { compareBytes, toHex } from '../util/bytes.ts'

/** What a member last said of itself, as the view needs it. */
export interface Status {
  peer: PeerId
  /** Public key, 32 bytes. */
  key: Uint8Array
  hlc: Hlc
  role: Role
  /** Bytes it offers; 0 if it keeps nothing. */
  weight: number
  zone: string | null
  state: MemberState
  outAfterMs: number
}

export interface ViewMember {
  peer: PeerId
  key: Uint8Array
  weight: number
  zone: string | null
  isDraining: boolean
  isOut: boolean
  /** Not part of the view's id: what is full keeps its rank. */
  isFull: boolean
  canRead: boolean
}

/** Who is in, with what weight and where: what ranks are computed from. Ordered by key. */
export interface View {
  /** 32 bytes; equal on members that rank alike. */
  id: Uint8Array
  members: readonly ViewMember[]
}

/**
 * Who is out by the statuses alone. The status of the member in the middle of the field is the clock: whoever lags
 * behind it by its own `outAfter` is out, and the field is counted again without it. Only replicated data goes in, so all
 * agree; half of a field can never declare the other half out, and of two members neither is ever out. Gives the stamp
 * in the middle too.
 */
export function judgeOut(statuses: readonly Status[]): { out: Set<PeerId>; middle: Hlc | undefined } {
  const out = new Set<PeerId>()
  const byAge = [...statuses].sort((a, b) => (a.hlc < b.hlc ? -1 : a.hlc > b.hlc ? 1 : compareBytes(a.key, b.key)))
  for (;;) {
    const field = byAge.filter(({ peer, weight }) => weight > 0 && !out.has(peer))
    // Newest last, so the k-th newest is k from the end.
    const middle = field.at(-(Math.floor(field.length / 2) + 1))?.hlc
    if (middle === undefined) return { out, middle }
    const lagging = byAge.find(
      status => !out.has(status.peer) && hlcMs(middle) - hlcMs(status.hlc) >= status.outAfterMs
    )
    if (lagging === undefined) return { out, middle }
    out.add(lagging.peer)
  }
}

/** The view in which `out` is what this node acts on. */
export function makeView(statuses: readonly Status[], out: ReadonlySet<PeerId>): View {
  const members = [...statuses]
    .sort((a, b) => compareBytes(a.key, b.key))
    .map(({ peer, key, weight, zone, state, role }) => ({
      peer,
      key,
      weight,
      zone,
      isDraining: state === 'draining',
      isOut: out.has(peer),
      isFull: state === 'full',
      canRead: role !== 'storage'
    }))
  const rows = members.map(({ key, weight, zone, isDraining, isOut }) => [key, weight, zone, isDraining, isOut])
  return { id: hash('sha256', encodeCanonical(rows), 'buffer'), members }
}

/** Whether two views say the same, also of what is not part of their ids. */
export function isSameView(a: View, b: View): boolean {
  return (
    toHex(a.id) === toHex(b.id) &&
    a.members.every(({ isFull, canRead }, i) => isFull === b.members[i]?.isFull && canRead === b.members[i]?.canRead)
  )
}
