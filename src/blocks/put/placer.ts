import type { BlockCid } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { type Logger, reasonOf } from '../../util/logger.ts'
import { AVOID_MS, BEHIND_MAX } from '../constants.ts'
import { listOf, nameOf, nameOfId } from '../log-names.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import type { Ranking } from '../rank.ts'
import { BlockPlacement, type Candidates, type KeepOutcome, type PlacementListener } from './block-placement.ts'
import { ReplicaCounts } from './counts.ts'

export interface ReplicaPlacerOptions {
  self: PeerId
  clock: Clock
  log: Logger
  storeClient: Pick<StoreClient, 'keepBlock'>
  ranking: () => Ranking
  /** Returns the members that can be asked now. */
  admitted: () => PeerId[]
  /** Returns true for a member that recently misbehaved or was silent. It is asked only if there is nobody else. */
  isAvoided: (peer: PeerId) => boolean
  /** The number that identifies the put to the keepers. */
  putNumber: Uint8Array
  replicas: number
  /**
   * Returns the number of members, besides this one, that must keep a block before the put takes more blocks from its
   * source.
   */
  needed: () => number
}

/**
 * A block to keep. It does not contain the bytes of a large block, so that waiting for slow members costs no memory.
 */
export interface Wanted {
  cid: BlockCid
  /** Its index among the file's chunks; null for a manifest node. */
  chunkIndex: number | null
  /** Undefined if it is not known without reading the block. */
  sizeBytes: number | undefined
  inline: Uint8Array | null
}

/** One block on its way to its owners, as the put sees it. */
export type Placing = Pick<BlockPlacement, 'enough' | 'keptBy' | 'addChunk'>

/**
 * Asks the members that will owe a put's blocks to keep them, in the order of each block's own ranking. It counts which
 * member keeps which chunk until `finish` hands those counts over, and remembers which members failed or are behind.
 */
export class ReplicaPlacer {
  readonly #options: ReplicaPlacerOptions
  readonly #underWay = new Set<Promise<void>>()
  /** The members that have been asked to keep any block. */
  readonly #asked = new Set<PeerId>()
  /** For each member, the number of blocks that it was asked to keep and has not answered. */
  readonly #behind = new Map<PeerId, number>()
  /**
   * The members that failed this put. The placer does not ask them again for `AVOID_MS`; they pull what they owe later.
   */
  readonly #avoidedUntilAtMs = new Map<PeerId, number>()
  /** The steps that have been logged, so that a file of many blocks does not repeat them for each block. */
  readonly #logged = new Set<string>()
  /** Counts what the placements of the blocks report, until the counts have been handed over. */
  readonly #listener: PlacementListener = {
    onChunk: chunkIndex => this.#counts?.addChunk(chunkIndex),
    onOwed: (peer, chunkIndex) => this.#counts?.expect(peer, chunkIndex),
    onReleased: (peer, chunkIndex) => this.#counts?.releaseDebt(peer, chunkIndex),
    onKept: (peer, chunkIndex) => this.#counts?.count(peer, chunkIndex)
  }
  /** Undefined once they have been handed over. */
  #counts: ReplicaCounts | undefined = new ReplicaCounts()
  readonly #name: { toString(): string }

  constructor(options: ReplicaPlacerOptions) {
    this.#options = options
    this.#name = nameOfId(options.putNumber)
  }

  /**
   * The chunks that members are counted on for so far, for reading only; undefined once the counts have been handed
   * over.
   */
  get counts(): Pick<ReplicaCounts, 'peers' | 'chunksOf'> | undefined {
    return this.#counts
  }

  /** Returns true for a member that is best avoided for now, because it failed or misbehaved. */
  isAvoided(peer: PeerId): boolean {
    return this.#hasFailed(peer) || this.#options.isAvoided(peer)
  }

  /** True while a member that was asked has not answered. */
  get isBusy(): boolean {
    return this.#underWay.size > 0
  }

  /** Resolves when all members that were asked have answered. The put may have enough copies without them. */
  async stragglers(): Promise<void> {
    await Promise.all(this.#underWay)
  }

  /**
   * Hands the counts over. Call it only once: from then on the caller owns them, and late answers change nothing. A
   * member whose `kept` arrives late is not counted. A member whose `full` arrives late still owes its blocks: the
   * hinted handoff asks it and learns that it is full.
   */
  finish(): ReplicaCounts {
    const counts = this.#counts
    if (counts === undefined) throw new TypeError('the counts of a put are handed over once')
    this.#counts = undefined
    return counts
  }

  /** Asks members to keep a block. Does not wait for their answers. */
  ask(wanted: Wanted): Placing {
    const placement = new BlockPlacement({
      self: this.#options.self,
      candidates: this.#candidates(wanted),
      needed: this.#options.needed(),
      listener: this.#listener
    })
    if (wanted.chunkIndex !== null) placement.addChunk(wanted.chunkIndex)
    const asked = placement.begin()
    this.#noteAsked(asked)
    for (const peer of asked) this.#askOne(peer, wanted, placement)
    return placement
  }

  #askOne(peer: PeerId, wanted: Wanted, placement: BlockPlacement): void {
    const asking = this.#ask(peer, wanted).then(outcome => {
      const next = placement.answer(peer, outcome)
      this.#logAnswer(peer, outcome, wanted.cid)
      if (next === undefined) return
      this.#asked.add(next)
      this.#logOnce(`${peer} ${next}`, 'asks %s in place of %s', next, peer)
      this.#askOne(next, wanted, placement)
    })
    this.#underWay.add(asking)
    void asking.finally(() => this.#underWay.delete(asking))
  }

  /** Logs the members that are asked for the first time. */
  #noteAsked(peers: readonly PeerId[]): void {
    const fresh = peers.filter(peer => !this.#asked.has(peer))
    for (const peer of fresh) this.#asked.add(peer)
    if (fresh.length > 0 && this.#options.log.enabled) this.#log('asks %s to keep blocks', listOf(fresh))
  }

  /**
   * Returns the members that may be asked to keep a block. Its owners are followed by the next members in rank, then by
   * connected members whose status is not known yet, and then by members that are best avoided. Every member owes
   * manifest nodes.
   */
  #candidates({ cid, chunkIndex }: Wanted): Candidates {
    const { self, admitted, ranking, replicas } = this.#options
    const isAvoided = (peer: PeerId): boolean => this.isAvoided(peer)
    const reachable = new Set(admitted().filter(peer => !this.#hasFailed(peer)))
    const order = ranking()
    const ranked = order.owners(cid.multihash.digest, Number.POSITIVE_INFINITY).map(({ peer }) => peer)
    const owing = chunkIndex === null ? ranked : ranked.slice(0, replicas)
    const owners = new Set(owing.filter(peer => peer !== self))
    const nextInRank = ranked.slice(owing.length)
    const askable = ranked.filter(peer => peer !== self && reachable.delete(peer))
    const unknown = [...reachable].filter(peer => !order.isKnown(peer))
    const first = askable.filter(peer => owners.has(peer) && !isAvoided(peer))
    const next = [...askable.filter(peer => !owners.has(peer)), ...unknown].filter(peer => !isAvoided(peer))
    const avoided = [...askable, ...unknown].filter(isAvoided)
    return { owners, nextInRank, first, rest: [...next, ...avoided] }
  }

  #hasFailed(peer: PeerId): boolean {
    return (this.#avoidedUntilAtMs.get(peer) ?? 0) > this.#options.clock.monotonic()
  }

  async #ask(peer: PeerId, { cid, sizeBytes, inline }: Wanted): Promise<KeepOutcome> {
    const { storeClient, putNumber, clock } = this.#options
    const behind = this.#behind.get(peer) ?? 0
    if (behind >= BEHIND_MAX) return 'behind'
    this.#behind.set(peer, behind + 1)
    try {
      return await storeClient.keepBlock(peer, { put: putNumber, cid, bytes: inline, sizeBytes })
    } catch (error) {
      // A member that fails although it is connected would fail again, and slowly.
      this.#avoidedUntilAtMs.set(peer, clock.monotonic() + AVOID_MS)
      this.#logOnce(`lost ${peer}`, '%s is lost: %s', peer, reasonOf(error))
      return 'failed'
    } finally {
      this.#behind.set(peer, (this.#behind.get(peer) ?? 1) - 1)
    }
  }

  #logAnswer(peer: PeerId, outcome: KeepOutcome, cid: BlockCid): void {
    if (outcome === 'kept') this.#options.log.trace('put %s: %s keeps block %s', this.#name, peer, nameOf(cid))
    // `#ask` has logged why.
    else if (outcome !== 'failed') this.#logOnce(`${outcome} ${peer}`, NOT_KEPT[outcome], peer)
  }

  /** Logs a step the first time that it happens, and at trace from then on. */
  #logOnce(step: string, text: string, ...args: string[]): void {
    if (this.#logged.has(step)) this.#options.log.trace(`put %s: ${text}`, this.#name, ...args)
    else this.#log(text, ...args)
    this.#logged.add(step)
  }

  #log(text: string, ...args: string[]): void {
    if (!this.#options.log.enabled) return
    const when = this.#counts === undefined ? ', after its blocks were placed' : ''
    this.#options.log(`put %s%s: ${text}`, this.#name, when, ...args)
  }
}

/** The log text for each answer of a member that does not keep a block. */
const NOT_KEPT = {
  behind: '%s is behind, and pulls the next blocks later',
  full: '%s has no room',
  lacking: '%s could not pull a block',
  refused: '%s refuses to keep blocks'
} as const
