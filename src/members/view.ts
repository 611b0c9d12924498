import { hash } from 'node:crypto'
import { encodeCanonical } from '../format/canonical.ts'
import type { MemberState, Role } from '../format/kinds.ts'
import type { PeerId } from '../format/peer-id.ts'
import { type Hlc, hlcMs } from '../format/stamp.ts'
import { compareBytes, toHex } from '../util/bytes.ts'

/** The last status of a member, in the form that the view is computed from. */
export interface Status {
  peer: PeerId
  /** Public key, 32 bytes. */
  key: Uint8Array
  hlc: Hlc
  role: Role
  /** The number of bytes that it offers; 0 if it stores nothing. */
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
  /** Not part of the view's id, because a member that is full keeps its rank. */
  isFull: boolean
  canRead: boolean
}

/** Returns the state of a member as people see it. */
export function stateOf({ isOut, isDraining, isFull }: ViewMember): 'in' | 'draining' | 'full' | 'out' {
  if (isOut) return 'out'
  if (isDraining) return 'draining'
  return isFull ? 'full' : 'in'
}

/** Who is in, with what weight and in which zone. Ranks are computed from this. The members are ordered by key. */
export interface View {
  /** 32 bytes. Two views with the same id yield the same rank. */
  id: Uint8Array
  members: readonly ViewMember[]
}

/**
 * Finds the members that are out, and the median stamp. `saidOut` are the members that an admin has declared out. Any
 * other member is out if it lags behind the median by its own `outAfter`. Then the median is taken again without it.
 * The result depends on replicated data only, so all members agree on it. Without an admin's word, one half of the
 * members can never cause the other half to be out, and in a network of two members neither is ever out.
 */
export function findOut(
  statuses: readonly Status[],
  saidOut: ReadonlySet<PeerId> = new Set()
): {
  out: Set<PeerId>
  medianHlc: Hlc | undefined
} {
  const out = new Set(saidOut)
  const byAge = [...statuses].sort((a, b) => (a.hlc < b.hlc ? -1 : a.hlc > b.hlc ? 1 : compareBytes(a.key, b.key)))
  for (;;) {
    const counted = byAge.filter(({ peer, weight }) => weight > 0 && !out.has(peer))
    // The newest stamp is last, so the k-th newest is the k-th from the end.
    const medianHlc = counted.at(-(Math.floor(counted.length / 2) + 1))?.hlc
    if (medianHlc === undefined) return { out, medianHlc }
    const lagging = byAge.find(
      status => !out.has(status.peer) && hlcMs(medianHlc) - hlcMs(status.hlc) >= status.outAfterMs
    )
    if (lagging === undefined) return { out, medianHlc }
    out.add(lagging.peer)
  }
}

/** Returns the view of these statuses in which the members of `out` are out. */
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

/** Returns the members that are in only one of the two views, or that differ between them. */
export function changedPeers(a: View, b: View): PeerId[] {
  const factsByPeer = ({ members }: View): Map<PeerId, string> =>
    new Map(members.map(({ key: _key, ...facts }) => [facts.peer, JSON.stringify(facts)]))
  const [before, after] = [factsByPeer(a), factsByPeer(b)]
  return [...new Set([...before.keys(), ...after.keys()])].filter(peer => before.get(peer) !== after.get(peer))
}

/** Returns true if two views are equal, including the parts that their ids do not cover. */
export function isSameView(a: View, b: View): boolean {
  return (
    toHex(a.id) === toHex(b.id) &&
    a.members.every(({ isFull, canRead }, i) => isFull === b.members[i]?.isFull && canRead === b.members[i]?.canRead)
  )
}
