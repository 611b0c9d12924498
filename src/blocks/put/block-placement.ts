import type { PeerId } from '../../format/peer-id.ts'
import type { KeepState } from '../protocol/store-messages.ts'

/**
 * The result of asking a member to keep a block: its answer; `failed` if it did not answer; or `behind` if it was not
 * asked because too many blocks already wait for it.
 */
export type KeepOutcome = KeepState | 'failed' | 'behind'

/** The members that may be asked to keep a block. */
export interface Candidates {
  /** The members that owe the block by their rank, except this one. */
  owners: Set<PeerId>
  /**
   * The members after the owners in rank. Each takes over the debt of one full owner. This member may be among them.
   */
  nextInRank: PeerId[]
  /** The owners to ask first. */
  first: PeerId[]
  /** The members to ask in place of one that does not keep the block, best first. */
  rest: PeerId[]
}

/**
 * Learns at which chunk indexes the block occurs in the file, and, for each of them, which members owe and keep the
 * block.
 */
export interface PlacementListener {
  onChunk: (chunkIndex: number) => void
  onOwed: (peer: PeerId, chunkIndex: number) => void
  onReleased: (peer: PeerId, chunkIndex: number) => void
  onKept: (peer: PeerId, chunkIndex: number) => void
}

export interface BlockPlacementOptions {
  self: PeerId
  candidates: Candidates
  /** The number of members, besides this one, that must keep the block before the put continues. */
  needed: number
  listener: PlacementListener
}

/**
 * One block on its way to its owners. It decides who is asked, who is asked instead of a member that does not keep the
 * block, and when enough members keep it. It does not ask members itself: the placer asks them, and passes in their
 * answers.
 */
export class BlockPlacement {
  /** The members that keep the block so far. */
  readonly keptBy: ReadonlySet<PeerId>
  /** Resolves once enough members keep the block, or nobody is left to ask. */
  readonly enough: Promise<void>
  readonly #options: BlockPlacementOptions
  readonly #keptBy = new Set<PeerId>()
  /** The chunk indexes at which the block occurs in the file. */
  readonly #chunks: number[] = []
  readonly #resolve: () => void
  /** The number of members that were asked and have not answered. */
  #pending = 0

  constructor(options: BlockPlacementOptions) {
    this.#options = options
    this.keptBy = this.#keptBy
    const { promise, resolve } = Promise.withResolvers<void>()
    this.enough = promise
    this.#resolve = resolve
  }

  /** Returns the members to ask first: the owners, and other members if the owners are too few. Call it only once. */
  begin(): PeerId[] {
    const { first, rest } = this.#options.candidates
    const asked = [...first]
    const missing = Math.max(0, this.#options.needed - asked.length)
    asked.push(...rest.splice(0, missing))
    this.#pending = asked.length
    this.#settle()
    return asked
  }

  /** Notes that the block occurs at this chunk index of the file. It may occur at others too. */
  addChunk(chunkIndex: number): void {
    const { candidates, listener } = this.#options
    this.#chunks.push(chunkIndex)
    listener.onChunk(chunkIndex)
    for (const peer of candidates.owners) listener.onOwed(peer, chunkIndex)
    for (const peer of this.#keptBy) listener.onKept(peer, chunkIndex)
  }

  /** Notes the answer of a member that was asked. Returns the member to ask in its place, if one is needed. */
  answer(peer: PeerId, outcome: KeepOutcome): PeerId | undefined {
    this.#pending--
    let next: PeerId | undefined
    if (outcome === 'kept') {
      this.#keptBy.add(peer)
      for (const chunkIndex of this.#chunks) this.#options.listener.onKept(peer, chunkIndex)
    } else next = this.#replacementFor(peer, outcome)
    if (next !== undefined) this.#pending++
    this.#settle()
    return next
  }

  /**
   * A member that is merely behind will pull the block later. It is replaced only if the put would otherwise have to
   * wait, so that no surplus copy is made. The same applies to a full owner whose debt passes to this member.
   */
  #replacementFor(peer: PeerId, outcome: KeepOutcome): PeerId | undefined {
    const { self, needed, candidates } = this.#options
    const isCovered = this.#keptBy.size + this.#pending >= needed
    if (outcome === 'behind' && isCovered) return undefined
    const heir = outcome === 'full' && candidates.owners.delete(peer) ? this.#moveDebt(peer) : undefined
    if (heir === self && isCovered) return undefined
    return candidates.rest.shift()
  }

  /**
   * Moves the debt of a full owner to the next member in rank, even if that member cannot be asked now. Returns that
   * member, the heir.
   */
  #moveDebt(peer: PeerId): PeerId | undefined {
    const { self, candidates, listener } = this.#options
    const heir = candidates.nextInRank.shift()
    for (const chunkIndex of this.#chunks) listener.onReleased(peer, chunkIndex)
    // This member already has its copy.
    if (heir === undefined || heir === self) return heir
    candidates.owners.add(heir)
    for (const chunkIndex of this.#chunks) listener.onOwed(heir, chunkIndex)
    return heir
  }

  #settle(): void {
    if (this.#keptBy.size >= this.#options.needed || this.#pending === 0) this.#resolve()
  }
}
