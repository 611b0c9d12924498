import type { BlockCid } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { AVOID_MS, BEHIND_MAX } from '../constants.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import type { KeepState } from '../protocol/store-messages.ts'
import type { Ranking } from '../rank.ts'
import { ReplicaCounts } from './counts.ts'

export interface ReplicaPlacerOptions {
  self: PeerId
  clock: Clock
  storeClient: Pick<StoreClient, 'keepBlock'>
  ranking: () => Ranking
  /** Members that may be asked now. */
  keepers: () => PeerId[]
  /** Members that did something wrong lately, or were silent: asked only if it cannot be done without them. */
  isAvoided: (peer: PeerId) => boolean
  /** Names the put to the keepers. */
  number: Uint8Array
  replicas: number
  /** Members beside this one that must keep a block before the next few may come. */
  needed: () => number
}

/** What is asked of a keeper; a large block's bytes are not among it, so that waiting for the slow costs no memory. */
export interface Wanted {
  cid: BlockCid
  /** Its place in the file; null for a manifest node. */
  chunkIndex: number | null
  sizeBytes: number
  inline: Uint8Array | null
}

/** One block on its way to its owners. */
export interface Placing {
  /** Resolves once as many as must keep it, or nobody is left to ask. */
  enough: Promise<void>
  /** Who keeps it so far. */
  keptBy: ReadonlySet<PeerId>
  /** The same block stands at another place of the file too. */
  alsoAt(chunkIndex: number): void
}

type Outcome = KeepState | 'behind'

/** Asks the members that will owe a put's blocks to keep them, each block down its own rank, and tallies who said yes. */
export class ReplicaPlacer {
  readonly counts = new ReplicaCounts()
  readonly #options: ReplicaPlacerOptions
  readonly #underWay = new Set<Promise<void>>()
  readonly #behind = new Map<PeerId, number>()
  // Members that failed this put: for a while it does not ask them again, and they pull what they owe later.
  readonly #avoidedUntilAtMs = new Map<PeerId, number>()
  #isCounting = true

  constructor(options: ReplicaPlacerOptions) {
    this.#options = options
  }

  /** True of members that it would be better to do without for now. */
  isAvoided(peer: PeerId): boolean {
    return this.#isLost(peer) || this.#options.isAvoided(peer)
  }

  get isBusy(): boolean {
    return this.#underWay.size > 0
  }

  /** Resolves when all that were asked have answered; the put may be enough without them. */
  async stragglers(): Promise<void> {
    await Promise.all(this.#underWay)
  }

  /** From here on nobody is counted any more: members are told what is counted on them. */
  stopCounting(): void {
    this.#isCounting = false
  }

  ask(wanted: Wanted): Placing {
    const { counts } = this
    const { owners, heirs, first, rest } = this.#candidates(wanted)
    const { promise: enough, resolve } = Promise.withResolvers<void>()
    const needed = this.#options.needed()
    const chunks: number[] = []
    const keptBy = new Set<PeerId>()
    let pending = 0
    const askOne = (peer: PeerId): void => {
      pending++
      const asking = this.#ask(peer, wanted).then(outcome => {
        pending--
        if (outcome === 'kept') {
          keptBy.add(peer)
          if (this.#isCounting) for (const chunkIndex of chunks) counts.count(peer, chunkIndex)
        } else replace(peer, outcome)
        if (keptBy.size >= needed || pending === 0) resolve()
      })
      this.#underWay.add(asking)
      void asking.finally(() => this.#underWay.delete(asking))
    }
    // Whoever does not take it is followed by the next in rank. One that is merely behind will pull it: no copy more than
    // was asked for is made for its sake, unless the put would wait.
    const replace = (peer: PeerId, outcome: Outcome): void => {
      if (outcome === 'behind' && keptBy.size + pending >= needed) return
      if (outcome === 'full' && owners.delete(peer)) {
        // The debt goes to the next in rank, whether it can be asked now or not; our own is paid.
        const heir = heirs.shift()
        for (const chunkIndex of chunks) {
          counts.excuse(peer, chunkIndex)
          if (heir !== undefined && heir !== this.#options.self) counts.expect(heir, chunkIndex)
        }
        if (heir !== undefined && heir !== this.#options.self) owners.add(heir)
        if (heir === this.#options.self && keptBy.size + pending >= needed) return
      }
      const next = rest.shift()
      if (next !== undefined) askOne(next)
    }
    const alsoAt = (chunkIndex: number): void => {
      chunks.push(chunkIndex)
      counts.chunkCount = Math.max(counts.chunkCount, chunkIndex + 1)
      for (const peer of owners) counts.expect(peer, chunkIndex)
      if (this.#isCounting) for (const peer of keptBy) counts.count(peer, chunkIndex)
    }
    if (wanted.chunkIndex !== null) alsoAt(wanted.chunkIndex)
    for (const peer of first) askOne(peer)
    while (pending < needed) {
      const next = rest.shift()
      if (next === undefined) break
      askOne(next)
    }
    if (pending === 0 || needed <= 0) resolve()
    return { enough, keptBy, alsoAt }
  }

  /**
   * Who owes a block and who would inherit that, whom of them to ask now, and who comes after: the next in rank, members
   * of whom nothing is known yet but that they are here, and those that it would be better to do without. Manifest nodes
   * go to everyone.
   */
  #candidates({ cid, chunkIndex }: Wanted): { owners: Set<PeerId>; heirs: PeerId[]; first: PeerId[]; rest: PeerId[] } {
    const { self, keepers, ranking, replicas } = this.#options
    const isAvoided = (peer: PeerId): boolean => this.isAvoided(peer)
    const reachable = new Set(keepers().filter(peer => !this.#isLost(peer)))
    const order = ranking()
    const ranked = order.owners(cid.multihash.digest, Number.POSITIVE_INFINITY).map(({ peer }) => peer)
    const owing = chunkIndex === null ? ranked : ranked.slice(0, replicas)
    const owners = new Set(owing.filter(peer => peer !== self))
    const heirs = ranked.slice(owing.length)
    const askable = ranked.filter(peer => peer !== self && reachable.delete(peer))
    const unknown = [...reachable].filter(peer => !order.isKnown(peer))
    const first = askable.filter(peer => owners.has(peer) && !isAvoided(peer))
    const next = [...askable.filter(peer => !owners.has(peer)), ...unknown].filter(peer => !isAvoided(peer))
    const avoided = [...askable, ...unknown].filter(isAvoided)
    return { owners, heirs, first, rest: [...next, ...avoided] }
  }

  #isLost(peer: PeerId): boolean {
    return (this.#avoidedUntilAtMs.get(peer) ?? 0) > this.#options.clock.monotonic()
  }

  async #ask(peer: PeerId, { cid, sizeBytes, inline }: Wanted): Promise<Outcome> {
    const { storeClient, number, clock } = this.#options
    const behind = this.#behind.get(peer) ?? 0
    if (behind >= BEHIND_MAX) return 'behind'
    this.#behind.set(peer, behind + 1)
    try {
      return await storeClient.keepBlock(peer, { put: number, cid, bytes: inline, sizeBytes })
    } catch {
      // Gone, silent or broken: as good as a no. What is still connected and fails would fail again, and slowly.
      this.#avoidedUntilAtMs.set(peer, clock.monotonic() + AVOID_MS)
      return 'lacking'
    } finally {
      this.#behind.set(peer, (this.#behind.get(peer) ?? 1) - 1)
    }
  }
}
