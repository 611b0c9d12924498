import { hash } from 'node:crypto'
import type { PeerId } from '../format/peer-id.ts'
import type { View, ViewMember } from '../members/view.ts'
import { LOG2_TABLE } from './log2-table.ts'

/**
 * Weighted rendezvous hashing (Thaler and Ravishankar 1998; weights after Schindelhauer and Schomaker 2005). Each
 * member draws a number for each block, and the members are ordered by their draw divided by their weight. The
 * computation is pure and uses integers that a double holds exactly, so every member computes the same order. When a
 * member joins or leaves, only that member's share of the blocks moves.
 */

/** The number of bits after the binary point in a logarithm. */
const FRACTION_BITS = 20
/**
 * The number of bytes in one unit of weight: small enough for a memory stick, and large enough that products stay
 * exact.
 */
const WEIGHT_UNIT = 1 << 20
const WEIGHT_UNITS_MAX = 2 ** 27

/** The order of the members for each block, under one view. */
export class Ranking {
  readonly view: View
  /** Members that store blocks: they have a weight, and are neither `out` nor `draining`. */
  readonly keepers: readonly PeerId[]
  readonly #keepers: ReadonlySet<PeerId>
  readonly #drawers: readonly Drawer[]

  constructor(view: View) {
    this.view = view
    this.#drawers = view.members.filter(owes).map(toDrawer)
    this.keepers = this.#drawers.map(({ member }) => member.peer)
    this.#keepers = new Set(this.keepers)
  }

  get keeperCount(): number {
    return this.keepers.length
  }

  isKeeper(peer: PeerId): boolean {
    return this.#keepers.has(peer)
  }

  /** Returns true if the view contains this member. A member that has just joined may not have sent its status yet. */
  isKnown(peer: PeerId): boolean {
    return this.view.members.some(member => member.peer === peer)
  }

  /**
   * Returns the `count` members that owe a block with this digest, or all members that store blocks if there are fewer.
   * They are the first of an order that does not depend on `count`. To spread copies over zones, the next member is
   * always the one with the best draw among those whose zone was used least. If none of the first `count` can read
   * content, the first member that can takes the place of the last.
   */
  owners(digest: Uint8Array, count: number): ViewMember[] {
    const first = this.#order(digest, count)
    // The rest of the order is needed only if no owner can read, which is rare.
    if (first.length === 0 || first.some(({ canRead }) => canRead)) return first
    return this.inOrder(digest, count).slice(0, first.length)
  }

  /**
   * Returns all members that store blocks: first the `count` owners, then the others in the order in which they take
   * the place of an owner.
   */
  inOrder(digest: Uint8Array, count: number): ViewMember[] {
    const order = this.#order(digest, Number.POSITIVE_INFINITY)
    const reader = order.findIndex(({ canRead }) => canRead)
    if (count > 0 && reader >= count) order.splice(count - 1, 0, ...order.splice(reader, 1))
    return order
  }

  /**
   * Returns all members in the order in which a reader asks them: first by rank, then those that are out, draining or
   * store nothing.
   */
  readers(digest: Uint8Array): PeerId[] {
    const keepers = this.#order(digest, Number.POSITIVE_INFINITY)
    const rest = this.view.members.filter(member => !keepers.includes(member))
    return [...keepers, ...rest].map(({ peer }) => peer)
  }

  /** Returns true if this member owes a block with this digest when `count` copies are wanted. */
  isOwner(peer: PeerId, digest: Uint8Array, count: number): boolean {
    return this.owners(digest, count).some(member => member.peer === peer)
  }

  #order(digest: Uint8Array, count: number): ViewMember[] {
    const words = wordsOf(digest)
    const drawn = this.#drawers.map(drawer => ({ drawer, draw: drawOf(drawer, words) }))
    drawn.sort(compareDraws)
    return spreadZones(
      drawn.map(({ drawer }) => drawer.member),
      Math.min(count, drawn.length)
    )
  }
}

/** Returns a function that returns the ranking of the current view. A ranking is computed once for each view. */
export function currentRanking(view: () => View): () => Ranking {
  let ranking: Ranking | undefined
  return () => {
    const current = view()
    if (ranking?.view !== current) ranking = new Ranking(current)
    return ranking
  }
}

interface Drawer {
  member: ViewMember
  seed: readonly [number, number]
  units: number
}

interface Drawn {
  drawer: Drawer
  draw: number
}

function owes({ weight, isOut, isDraining }: ViewMember): boolean {
  return weight > 0 && !isOut && !isDraining
}

function toDrawer(member: ViewMember): Drawer {
  const units = Math.min(Math.max(1, Math.floor(member.weight / WEIGHT_UNIT)), WEIGHT_UNITS_MAX)
  return { member, seed: wordsOf(hash('sha256', member.key, 'buffer')), units }
}

// The smaller draw divided by weight comes first. Both sides are multiplied out, so that nothing is rounded.
function compareDraws(a: Drawn, b: Drawn): number {
  return a.draw * b.drawer.units - b.draw * a.drawer.units || Buffer.compare(a.drawer.member.key, b.drawer.member.key)
}

function spreadZones(ordered: ViewMember[], count: number): ViewMember[] {
  if (ordered.every(({ zone }) => zone === null)) return ordered.slice(0, count)
  const used = new Map<string, number>()
  // A member without a zone counts as a zone of its own.
  const usesOf = ({ zone }: ViewMember): number => (zone === null ? 0 : (used.get(zone) ?? 0))
  const rest = [...ordered]
  const chosen: ViewMember[] = []
  while (chosen.length < count) {
    let best = 0
    for (let i = 1; i < rest.length; i++) {
      if (usesOf(rest[i] as ViewMember) < usesOf(rest[best] as ViewMember)) best = i
    }
    const [member] = rest.splice(best, 1) as [ViewMember]
    if (member.zone !== null) used.set(member.zone, usesOf(member) + 1)
    chosen.push(member)
  }
  return chosen
}

function wordsOf(bytes: Uint8Array): readonly [number, number] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 8)
  return [view.getUint32(0), view.getUint32(4)]
}

// Returns -log2(u / 2^32), in units of 2^-FRACTION_BITS, where `u` is determined by the member and the block.
function drawOf({ seed }: Drawer, [high, low]: readonly [number, number]): number {
  const u = mix(mix(seed[0] ^ high) ^ seed[1] ^ low)
  return (32 << FRACTION_BITS) - log2(u === 0 ? 1 : u)
}

// The finalizer of MurmurHash3 (Appleby): each input bit changes each output bit with probability one half.
function mix(word: number): number {
  let h = word >>> 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** log2 of an integer from 1 to 2^32 - 1, in units of 2^-20: from its exponent and a table, linear in between. */
export function log2(u: number): number {
  const exponent = 31 - Math.clz32(u)
  // After its leading one, the first 8 bits of the mantissa choose the row, and the next 16 interpolate between that
  // row and the next.
  const mantissa = exponent >= 24 ? (u >>> (exponent - 24)) & 0xffffff : (u << (24 - exponent)) & 0xffffff
  const row = mantissa >>> 16
  const from = LOG2_TABLE[row] as number
  const to = LOG2_TABLE[row + 1] as number
  const fraction = from + Math.floor(((to - from) * (mantissa & 0xffff)) / 65536)
  return (exponent << FRACTION_BITS) + (fraction >> (24 - FRACTION_BITS))
}

/** Returns a function that says whether a member owes a chunk of which this many copies are wanted. */
export function owesChunk(
  order: Ranking,
  self: PeerId,
  replicas: number
): (chunk: { cid: { multihash: { digest: Uint8Array } } }) => boolean {
  if (!order.keepers.includes(self)) return () => false
  if (replicas >= order.keeperCount) return () => true
  return ({ cid }) => order.isOwner(self, cid.multihash.digest, replicas)
}
