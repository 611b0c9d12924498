import type { BlockCid } from '../format/cid.ts'
import { isNode } from '../format/cid.ts'
import type { FileRoot, NodeCodec, SealedBlock } from '../format/manifest.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { Statement } from '../format/statement.ts'
import type { Verdict } from '../log/log.ts'
import type { Clock } from '../util/clock.ts'
import { Limiter } from '../util/limiter.ts'
import { Bitmap } from './bitmap.ts'
import type { Claims, PutId } from './claims.ts'
import { ACK_TIMEOUT_MS, INLINE_BLOCK_BYTES_MAX, PUT_CLAIM_MS, PUT_WINDOW_BLOCKS } from './constants.ts'
import { walkDag } from './dag.ts'
import { NotEnoughCopiesError } from './errors.ts'
import type { KeepProtocol, KeepState } from './keep-protocol.ts'
import type { LocalBlocks } from './local-blocks.ts'
import type { PutWindow } from './put-window.ts'
import type { Ranking } from './rank.ts'

export interface PutOptions {
  /** Copies wanted; `Infinity` for every member. */
  replicas: number
  /** Copies, this member's among them, that must be durable before the put says yes. Left out: two where possible. */
  ack?: number | undefined
  signal?: AbortSignal | undefined
}

export interface PutDeps {
  self: PeerId
  clock: Clock
  codec: NodeCodec
  local: LocalBlocks
  claims: Claims
  keeps: KeepProtocol
  window: PutWindow
  ranking: () => Ranking
  /** Members that may be asked to store. */
  keepers: () => PeerId[]
  push: (peer: PeerId, statement: Statement, put: Uint8Array | null) => Promise<Verdict>
  /** Tells everyone else of the record, without waiting. */
  announce: (statement: Statement, except: ReadonlySet<PeerId>) => void
  /** Lets this put's own claims on a file end once a record's references have taken their place. */
  endWithRecord: (root: BlockCid, claimId: PutId) => void
}

/** Who has what a put has stored so far. */
export interface PutOutcome {
  /** Members, this one among them, that acknowledged the record over blocks that they hold. */
  reached: PeerId[]
  /** Copies that the view asks for. */
  wanted: number
  /** Copies of chunks that are still to be delivered. */
  owedBlocks: number
}

/** Copies that a put waits for unless told otherwise. */
const ACK_DEFAULT = 2
/** Blocks that one member may still have to take while the put goes on without it; beyond that it pulls them later. */
const BEHIND_MAX = 64
/** How long a put waits for members that it could do without, so that they are counted too. */
const STRAGGLERS_MS = 250
/** How often a put that lacks copies looks for members that have come. */
const NEWCOMERS_MS = 1_000

/** What is asked of a keeper; a large block's bytes are not among it, so that waiting for the slow costs no memory. */
interface Wanted {
  cid: BlockCid
  leaf: number | null
  sizeBytes: number
  inline: Uint8Array | null
}

/**
 * A put is a repair that someone waits for: this member keeps every block, asks those who will owe them to keep them
 * too, and counts. Nothing is visible until the record is appended; what is never linked runs out.
 */
export class Put {
  readonly #deps: PutDeps
  readonly #options: PutOptions
  readonly #number: Uint8Array
  readonly #claimId: PutId
  readonly #slots = new Limiter(PUT_WINDOW_BLOCKS)
  readonly #counted = new Map<PeerId, Bitmap>()
  readonly #stragglers = new Set<Promise<void>>()
  readonly #behind = new Map<PeerId, number>()
  // Once members are told what is counted on them, what comes later no longer counts.
  #isCounting = true
  readonly #onClose: () => void
  #leaves = 0
  #failure: unknown

  /** `number` names this put to the keepers; `claimId` is what it claims under here. */
  constructor(deps: PutDeps, options: PutOptions, number: Uint8Array, claimId: PutId, onClose: () => void) {
    this.#deps = deps
    this.#options = options
    this.#number = number
    this.#claimId = claimId
    this.#onClose = onClose
  }

  /**
   * Keeps sealed blocks as they come: on this disk, and on as many of their owners as `ack` asks for before the next few
   * may come. Gives the root, or null for a stream without blocks. At most a window of blocks is in memory.
   */
  readonly keep = async (blocks: AsyncIterable<SealedBlock>): Promise<FileRoot | null> => {
    let root: FileRoot | null = null
    const underWay = new Set<Promise<void>>()
    for await (const block of blocks) {
      if (this.#failure !== undefined) break
      if (block.root !== undefined) root = block.root
      if (block.leaf !== null) this.#leaves = block.leaf + 1
      const release = await this.#slots.acquire(1, this.#options.signal)
      const placed = this.#place(block).then(
        () => {},
        error => {
          this.#failure ??= error
        }
      )
      underWay.add(placed)
      void placed.finally(() => {
        underWay.delete(placed)
        release()
      })
    }
    await Promise.all(underWay)
    if (this.#failure !== undefined) throw this.#failure
    return root
  }

  /** Takes blocks that are already here, as a copy of a file does: claims them and counts them on their owners. */
  async keepHeld(root: BlockCid, read: (cid: BlockCid) => Promise<Uint8Array>): Promise<void> {
    for await (const { cid, leaf } of walkDag(root, read, this.#deps.codec)) {
      const bytes = await read(cid)
      if (leaf !== null) this.#leaves = leaf + 1
      const release = await this.#slots.acquire(1, this.#options.signal)
      await this.#place({ cid, bytes, leaf }).finally(release)
    }
  }

  /** Has each member that was counted confirm all that it is counted for; what one lacks no longer counts on it. */
  async keepRoot(root: BlockCid): Promise<void> {
    await Promise.race([
      Promise.all([...this.#stragglers]),
      this.#deps.clock.sleep(STRAGGLERS_MS, this.#options.signal)
    ])
    this.#isCounting = false
    // Once a record refers to these blocks, that is what keeps them here.
    this.#deps.endWithRecord(root, this.#claimId)
    // A file of one chunk is its own root: whoever kept it has confirmed it.
    if (!isNode(root)) return
    await Promise.all([...this.#counted.keys()].map(peer => this.#confirm(peer, root)))
  }

  /**
   * Pushes the record until every block lies on enough members that acknowledged it, this one among them. With an
   * explicit `ack` that is not met in time a `NotEnoughCopiesError`: the record stands here, and is delivered later.
   */
  async acknowledge(record: Statement<'entry'>, root: BlockCid | null): Promise<PutOutcome> {
    const { self, keepers, ranking, announce } = this.#deps
    const { ack, replicas } = this.#options
    const acknowledged = new Set<PeerId>([self])
    const { promise: enough, resolve } = Promise.withResolvers<void>()
    const check = (): boolean => {
      const isEnough = this.#isOn(acknowledged, this.#ackWanted(), root)
      if (isEnough) resolve()
      return isEnough
    }
    const counted = root === null ? keepers() : [...this.#counted.keys()]
    const pushes = counted.map(async peer => {
      if (await this.#pushTo(peer, record, root)) acknowledged.add(peer)
      check()
    })
    announce(record, new Set(counted))
    check()
    await Promise.race([enough, Promise.allSettled(pushes)])
    if (!check() && ack !== undefined) await this.#waitForNewcomers(record, root, acknowledged, check)
    const reached = [...acknowledged]
    if (!check() && ack !== undefined)
      throw new NotEnoughCopiesError(reached, this.#ackWanted(), this.#owed(acknowledged, root))
    const wanted = Math.max(1, Math.min(replicas, ranking().keeperCount))
    return { reached, wanted, owedBlocks: this.#owed(acknowledged, root) }
  }

  /** Ends the put. What no record refers to runs out by itself. */
  close(): void {
    this.#onClose()
  }

  async #place({ cid, bytes, leaf }: SealedBlock): Promise<void> {
    const { local, claims, window } = this.#deps
    window.add(cid, bytes)
    const claim = (): Promise<void> => claims.claimForPut(this.#claimId, [cid.multihash.bytes], PUT_CLAIM_MS)
    const sizeBytes = bytes.byteLength
    const inline = sizeBytes < INLINE_BLOCK_BYTES_MAX ? bytes : null
    await Promise.all([local.keep(cid, bytes, claim), this.#spread({ cid, leaf, sizeBytes, inline })])
  }

  /** Asks the owners to be; resolves once enough of them have it, or nobody is left to ask. */
  async #spread(wanted: Wanted): Promise<void> {
    const { promise: enough, resolve } = Promise.withResolvers<void>()
    const needed = this.#ackWanted() - 1
    const { first, rest } = this.#candidates(wanted)
    let kept = 0
    let pending = 0
    const askOne = (peer: PeerId): void => {
      pending++
      const asking = this.#ask(peer, wanted).then(state => {
        pending--
        if (state === 'kept') {
          kept++
          this.#count(peer, wanted.leaf)
        } else {
          // Whoever does not take it is followed by the next in rank.
          const next = rest.shift()
          if (next !== undefined) askOne(next)
        }
        if (kept >= needed || pending === 0) resolve()
      })
      this.#stragglers.add(asking)
      void asking.finally(() => this.#stragglers.delete(asking))
    }
    for (const peer of first) askOne(peer)
    while (pending < needed) {
      const next = rest.shift()
      if (next === undefined) break
      askOne(next)
    }
    if (pending === 0 || needed <= 0) resolve()
    await enough
  }

  /** Who will owe a block and can be asked now, and who comes after them in rank. Manifest nodes go to everyone. */
  #candidates({ cid, leaf }: Wanted): { first: PeerId[]; rest: PeerId[] } {
    const { self, keepers, ranking } = this.#deps
    const reachable = new Set(keepers())
    const ordered = ranking()
      .owners(cid.multihash.digest, Number.POSITIVE_INFINITY)
      .map(({ peer }) => peer)
    const wanted = leaf === null ? ordered.length : this.#options.replicas
    const owners = ordered.slice(0, wanted)
    const isAskable = (peer: PeerId): boolean => peer !== self && reachable.has(peer)
    return { first: owners.filter(isAskable), rest: ordered.slice(owners.length).filter(isAskable) }
  }

  async #ask(peer: PeerId, { cid, sizeBytes, inline }: Wanted): Promise<KeepState> {
    const behind = this.#behind.get(peer) ?? 0
    if (behind >= BEHIND_MAX) return 'lacking'
    this.#behind.set(peer, behind + 1)
    try {
      return await this.#deps.keeps.keepBlock(peer, { put: this.#number, cid, bytes: inline, sizeBytes })
    } catch {
      return 'lacking'
    } finally {
      this.#behind.set(peer, (this.#behind.get(peer) ?? 1) - 1)
    }
  }

  async #confirm(peer: PeerId, root: BlockCid): Promise<void> {
    const { keeps } = this.#deps
    const leaves = this.#counted.get(peer) as Bitmap
    try {
      const lacking = await keeps.keepRoot(peer, this.#number, root, leaves, this.#options.signal)
      for (let leaf = 0; leaf < this.#leaves; leaf++) if (lacking.has(leaf)) leaves.delete(leaf)
      // The keeper counts what we counted: told again, it knows what we no longer count on.
      if (lacking.size > 0) await keeps.keepRoot(peer, this.#number, root, leaves, this.#options.signal)
    } catch {
      this.#counted.delete(peer)
    }
  }

  async #pushTo(peer: PeerId, record: Statement, root: BlockCid | null): Promise<boolean> {
    const put = root === null ? null : this.#number
    try {
      const verdict = await this.#deps.push(peer, record, put)
      if (verdict !== 'lacking' || root === null) return verdict === 'ok'
      // Its claims ran out, or it lost its count in a restart: back to keep, once.
      await this.#confirm(peer, root)
      return (await this.#deps.push(peer, record, put)) === 'ok'
    } catch {
      return false
    }
  }

  /** Members that come while an explicit number of copies is waited for are given everything. */
  async #waitForNewcomers(
    record: Statement<'entry'>,
    root: BlockCid | null,
    acknowledged: Set<PeerId>,
    check: () => boolean
  ): Promise<void> {
    const { clock, keepers } = this.#deps
    const deadline = clock.monotonic() + ACK_TIMEOUT_MS
    while (!check() && clock.monotonic() < deadline) {
      await clock.sleep(NEWCOMERS_MS, this.#options.signal)
      for (const peer of keepers()) {
        if (acknowledged.has(peer)) continue
        if (root !== null) {
          this.#counted.set(peer, Bitmap.full(this.#leaves))
          await this.#confirm(peer, root)
        }
        if (await this.#pushTo(peer, record, root)) acknowledged.add(peer)
      }
    }
  }

  #count(peer: PeerId, leaf: number | null): void {
    if (!this.#isCounting || leaf === null) return
    const leaves = this.#counted.get(peer) ?? new Bitmap()
    leaves.add(leaf)
    this.#counted.set(peer, leaves)
  }

  /** Copies that must be durable before yes: as told, else two where a second member can be reached. */
  #ackWanted(): number {
    const reachable = this.#deps.keepers().length + 1
    const { ack, replicas } = this.#options
    if (ack !== undefined)
      return ack === Number.POSITIVE_INFINITY ? Math.max(reachable, this.#deps.ranking().keeperCount) : ack
    return Math.min(ACK_DEFAULT, reachable, Math.max(1, replicas))
  }

  #isOn(acknowledged: ReadonlySet<PeerId>, copies: number, root: BlockCid | null): boolean {
    if (root === null) return acknowledged.size >= copies
    return this.#leastCopies(acknowledged) >= copies
  }

  /** Over all chunks the least number of acknowledging members that hold it, this one counted. */
  #leastCopies(acknowledged: ReadonlySet<PeerId>): number {
    let least = Number.POSITIVE_INFINITY
    const bitmaps = [...this.#counted].filter(([peer]) => acknowledged.has(peer)).map(([, leaves]) => leaves)
    for (let leaf = 0; leaf < this.#leaves; leaf++) {
      let copies = 1
      for (const leaves of bitmaps) if (leaves.has(leaf)) copies++
      least = Math.min(least, copies)
    }
    return least
  }

  #owed(acknowledged: ReadonlySet<PeerId>, root: BlockCid | null): number {
    if (root === null) return 0
    const { replicas } = this.#options
    const wanted = Math.min(replicas, this.#deps.ranking().keeperCount)
    const bitmaps = [...this.#counted].filter(([peer]) => acknowledged.has(peer)).map(([, leaves]) => leaves)
    let owed = 0
    for (let leaf = 0; leaf < this.#leaves; leaf++) {
      const copies = bitmaps.reduce((sum, leaves) => sum + (leaves.has(leaf) ? 1 : 0), 1)
      owed += Math.max(0, wanted - copies)
    }
    return owed
  }
}
