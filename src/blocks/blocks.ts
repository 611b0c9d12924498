import type { IndexOp } from '../disk/index-db.ts'
import type { Store } from '../disk/store.ts'
import type { BlockCid } from '../format/cid.ts'
import type { NodeCodec } from '../format/manifest.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { AnyStatement, Statement } from '../format/statement.ts'
import type { Verdict } from '../log/log.ts'
import type { View } from '../members/view.ts'
import { toHex } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { withDeadline } from '../util/deadline.ts'
import { DeadlineError } from '../util/errors.ts'
import { Limiter } from '../util/limiter.ts'
import type { ComponentLogger } from '../util/logger.ts'
import type { Host } from '../wire/host.ts'
import { Bitmap } from './bitmap.ts'
import {
  CATCH_UP_MS,
  CONFIRM_TIMEOUT_MS,
  HOLD_MS,
  KEEPING_BACK_MAX,
  PULL_BYTES_MAX,
  PUT_NUMBER_BYTES,
  SMALL_PUTS_SHARE_MS,
  WALK_BATCH
} from './constants.ts'
import { type BlockCorruptError, type BlockUnreadableError, EvictRefusedError } from './errors.ts'
import { type Fetched, Fetcher } from './fetch/fetcher.ts'
import { PeerHealth } from './fetch/peer-health.ts'
import { Claims, putIdOf } from './hold/claims.ts'
import { HoldGranter } from './hold/granter.ts'
import { Holds } from './hold/holds.ts'
import { Keeper } from './hold/keeper.ts'
import { type BlockPort, LocalBlocks } from './hold/local-blocks.ts'
import { walkManifest } from './manifest-walk.ts'
import { GetClient } from './protocol/get-client.ts'
import { GetServer } from './protocol/get-server.ts'
import { StoreClient } from './protocol/store-client.ts'
import { StoreServer } from './protocol/store-server.ts'
import { Acknowledgement, type AcknowledgementDeps, type PutOutcome } from './put/acknowledgement.ts'
import type { AckMembers } from './put/acks-wanted.ts'
import { HintedHandoff } from './put/handoff.ts'
import type { KeptFile } from './put/kept-file.ts'
import { type PutLogs, putLogs } from './put/logs.ts'
import { Put, type PutDeps, type PutOptions } from './put/put.ts'
import { PutWindow } from './put/window.ts'
import { Ranking } from './rank.ts'
import type { RecordRef } from './record-ref.ts'
import { type Evicted, Evictor } from './repair/evict.ts'
import { Repair } from './repair/repair.ts'
import { Sweeper } from './repair/sweep.ts'

export type { Fetched } from './fetch/fetcher.ts'
export type { PutOutcome } from './put/acknowledgement.ts'
export type { KeptFile } from './put/kept-file.ts'
export type { Put, PutOptions } from './put/put.ts'

export interface BlocksOptions {
  host: Host
  store: Store
  blockstore: BlockPort
  clock: Clock
  chance: Chance
  logger: ComponentLogger
  codec: NodeCodec
  self: PeerId
  /** Whether a peer may ask us. */
  isAdmitted: (peer: PeerId) => boolean
  /** Members that we may ask. */
  admitted: () => PeerId[]
  /** Whether a peer may have us store bytes. */
  mayStore: (peer: PeerId) => boolean
  view: () => View
  push: AcknowledgementDeps['push']
  announce: AcknowledgementDeps['announce']
  /** Every record that has blocks, at start. */
  records: () => AsyncIterable<RecordRef>
  /** False while it is not certain what is needed: nothing is freed then. */
  mayFree: () => boolean
  /** A peer sent something wrong, or nothing. */
  onFault: (peer: PeerId) => void
  /** A block on our own disk is damaged, or cannot be read. Told once of each, as far as they are remembered. */
  onBadBlock: (error: BlockCorruptError | BlockUnreadableError) => void
  onError: (error: unknown) => void
}

/** Which bytes are where: all that the rooms above see of this one. */
export class Blocks {
  readonly #options: BlocksOptions
  readonly #local: LocalBlocks
  readonly #claims: Claims
  readonly #holds: Holds
  readonly #health: PeerHealth
  readonly #fetcher: Fetcher
  readonly #storeClient: StoreClient
  readonly #keeper: Keeper
  readonly #repair: Repair
  readonly #handoff: HintedHandoff
  readonly #evictor: Evictor
  readonly #sweeper: Sweeper
  readonly #window = new PutWindow()
  readonly #putLogs: PutLogs
  readonly #underWay = new Map<string, number>()
  /** What was read from others and is owed here, on its way to disk. */
  readonly #keepingBack = new Set<Promise<void>>()
  #small: { number: Uint8Array; since: number } | undefined
  #ranking: Ranking | undefined
  #mayEvictAtMs = Number.NEGATIVE_INFINITY
  #walkingAll: Promise<void> | undefined

  constructor(options: BlocksOptions) {
    this.#options = options
    this.#putLogs = putLogs(options.logger)
    const { host, store, blockstore, clock, chance, codec, self, isAdmitted, admitted, mayStore, view } = options
    const { index } = store
    const ranking = (): Ranking => this.#rank()
    const viewId = (): Uint8Array => view().id
    const onFault = (peer: PeerId): void => {
      this.onFault(peer)
      options.onFault(peer)
    }
    const nodeCodecs = [codec.code]
    const pulls = new Limiter(PULL_BYTES_MAX)
    const readNode = async (cid: BlockCid): Promise<Uint8Array> => (await this.#fetcher.fetch(cid)).bytes
    this.#claims = new Claims(store, clock)
    this.#local = new LocalBlocks(blockstore, this.#claims, options.onBadBlock)
    this.#holds = new Holds(clock)
    this.#health = new PeerHealth(clock)
    const gets = new GetClient({ host, clock, onFault })
    new GetServer({
      host,
      clock,
      isAdmitted,
      nodeCodecs,
      read: async (cid, signal, peer) => {
        this.#storeClient.noteActivity(peer)
        return this.#window.get(cid, peer) ?? this.#local.get(cid, signal)
      },
      onFault
    })
    this.#fetcher = new Fetcher({
      self,
      clock,
      local: this.#local,
      health: this.#health,
      ranking,
      admitted,
      ask: (peer, cid, signal) => gets.get(peer, cid, signal)
    })
    const keeper = new Keeper({
      local: this.#local,
      claims: this.#claims,
      fetcher: this.#fetcher,
      pulls,
      codec,
      mayStore
    })
    this.#keeper = keeper
    const granter = new HoldGranter({
      self,
      local: this.#local,
      claims: this.#claims,
      fetcher: this.#fetcher,
      keeper,
      holds: this.#holds,
      pulls,
      mayStore,
      viewId
    })
    this.#storeClient = new StoreClient({ host, clock, onFault })
    const keeping = {
      keepBlocks: keeper.keepBlocks.bind(keeper),
      keepRoot: keeper.keepRoot.bind(keeper),
      holdRoot: granter.holdRoot.bind(granter)
    }
    new StoreServer({ host, clock, isAdmitted, nodeCodecs, keeping, onFault })
    this.#repair = new Repair({
      self,
      clock,
      codec,
      index,
      local: this.#local,
      claims: this.#claims,
      fetcher: this.#fetcher,
      pulls,
      ranking,
      takeEnded: root => keeper.takeEnded(root),
      all: options.records,
      onError: options.onError
    })
    this.#handoff = new HintedHandoff({
      self,
      clock,
      codec,
      index,
      storeClient: this.#storeClient,
      ranking,
      keepers: admitted,
      viewId,
      readNode,
      onError: options.onError
    })
    this.#evictor = new Evictor({
      self,
      clock,
      chance,
      codec,
      local: this.#local,
      claims: this.#claims,
      holds: this.#holds,
      storeClient: this.#storeClient,
      repair: this.#repair,
      ranking,
      keepers: admitted,
      viewId,
      readNode
    })
    this.#sweeper = new Sweeper({
      clock,
      claims: this.#claims,
      local: this.#local,
      holds: this.#holds,
      isUnderWay: put => this.#underWay.has(toHex(put)),
      mayFree: () => this.#mayFree(),
      onError: options.onError
    })
  }

  /** Takes up what was left at the last stop. After an unclean one the promises made to others are not known any more. */
  async start({ wasClean }: { wasClean: boolean }): Promise<void> {
    if (!wasClean) this.#mayEvictAtMs = this.#options.clock.monotonic() + HOLD_MS
    await this.#handoff.start()
    this.#walkingAll = this.#repair.start().catch(this.#options.onError)
    this.#sweeper.start({ mayHaveOrphans: !wasClean })
  }

  async stop(): Promise<void> {
    await this.#sweeper.stop()
    await this.#handoff.stop()
    await Promise.all(this.#keepingBack)
    await this.#repair.stop()
    await this.#walkingAll
  }

  /** Begins to keep the blocks of a file. The caller closes the put. */
  openPut(options: PutOptions): Put {
    return this.#open(options, this.#options.chance.bytes(PUT_NUMBER_BYTES))
  }

  /**
   * The same for a file of one small block. Small puts that begin together share a number, so that one call asks a member
   * to keep many blocks.
   */
  openSmallPut(options: PutOptions): Put {
    const { clock, chance } = this.#options
    const now = clock.monotonic()
    if (this.#small === undefined || now - this.#small.since > SMALL_PUTS_SHARE_MS)
      this.#small = { number: chance.bytes(PUT_NUMBER_BYTES), since: now }
    return this.#open(options, this.#small.number)
  }

  /**
   * Pushes the record of a file until enough members have acknowledged it. `kept` is what its put has handed over; null
   * for a record without blocks. Throws a `NotEnoughCopiesError` if an explicit `ack` was not met.
   */
  async pushRecord(record: Statement<'entry'>, kept: KeptFile | null, options: PutOptions): Promise<PutOutcome> {
    const { push, announce } = this.#options
    const holdsAll: AcknowledgementDeps['holdsAll'] = (root, put) => this.#keeper.holdsAll(root, put)
    const deps = { ...this.#putDeps(), push, announce, holdsAll }
    return new Acknowledgement(deps, options, record, kept).run()
  }

  /** A block's verified bytes, from this disk or another member, and who delivered them. */
  async read(cid: BlockCid, options: { signal?: AbortSignal | undefined } = {}): Promise<Fetched> {
    const fetched = await this.#fetcher.fetch(cid, options)
    if (fetched.from === this.#options.self || this.#keepingBack.size >= KEEPING_BACK_MAX) return fetched
    const kept = this.#repair
      .keepIfClaimed(cid, fetched.bytes)
      .catch(error => this.#options.onError(error))
      .finally(() => this.#keepingBack.delete(kept))
    this.#keepingBack.add(kept)
    return { ...fetched, release: () => void kept.then(fetched.release) }
  }

  /** Over all chunks of a file the least number of members, this one among them, that say now that they hold it. */
  async confirmed(root: BlockCid): Promise<number> {
    const { clock } = this.#options
    const copies = await this.#ownCopies(root)
    const question = {
      view: this.#options.view().id,
      root,
      chunks: Bitmap.full(copies.length),
      fetch: false,
      nonce: undefined,
      records: []
    }
    await Promise.all(
      this.#options.admitted().map(async peer => {
        try {
          const { lacking } = await withDeadline(clock, CONFIRM_TIMEOUT_MS, undefined, () =>
            this.#storeClient.holdRoot(peer, question)
          )
          for (const chunkIndex of copies.keys())
            if (!lacking.has(chunkIndex)) copies[chunkIndex] = (copies[chunkIndex] as number) + 1
        } catch {
          // Who does not answer confirms nothing.
        }
      })
    )
    return copies.reduce((least, count) => Math.min(least, count), Number.POSITIVE_INFINITY)
  }

  /**
   * Gives this member's copies of a file away, as far as others prove theirs. Throws an `EvictRefusedError` while it is
   * not certain what they are needed for, and for an hour after an unclean stop.
   */
  async evict(record: RecordRef, signal?: AbortSignal): Promise<Evicted> {
    const { clock } = this.#options
    if (clock.monotonic() < this.#mayEvictAtMs)
      throw new EvictRefusedError('this node did not stop cleanly: for an hour it gives no copies away')
    // What has just been stored, or read back, is on its way to being claimed.
    await withDeadline(clock, CATCH_UP_MS, signal, async () => {
      await Promise.all(this.#keepingBack)
      await this.#repair.caughtUp()
    }).catch(error => {
      if (!(error instanceof DeadlineError)) throw error
    })
    if (!this.#mayFree())
      throw new EvictRefusedError('this node does not know yet all that its blocks are needed for: try again later')
    return this.#evictor.evict(record, signal)
  }

  /** The last word on a record that a peer pushed with a put. */
  holdsPut(statement: AnyStatement, put: Uint8Array, from: PeerId): Promise<Verdict> {
    return this.#keeper.holdsPut(statement, put, from)
  }

  /** Walks records that have just come to stand, and pulls what of them is owed. */
  enqueue(records: readonly RecordRef[]): void {
    this.#repair.enqueue(records)
  }

  /** Leaves the copies of a file that members still owe to the hinted handoff, which asks until they are confirmed. */
  async handOff(record: RecordRef, owedBlocks: number, eachBytes: number): Promise<void> {
    await this.#handoff.add(record, owedBlocks, eachBytes)
  }

  /** A member has come, or the view has changed: what could not be had may be to be had now. */
  retry(): void {
    this.#repair.retry()
    this.#handoff.check()
  }

  /** A peer broke a protocol: for a while it is asked last. */
  onFault(peer: PeerId): void {
    this.#health.fault(peer)
  }

  faults(peer: PeerId): number {
    return this.#health.faults(peer)
  }

  /** Copies that nobody confirmed yet: this member's own missing ones, and those that it must see delivered. */
  get owed(): { blocks: number; bytes: number } {
    const own = this.#repair.owed
    const others = this.#handoff.owed
    return { blocks: own.blocks + others.blocks, bytes: own.bytes + others.bytes }
  }

  /** Blocks of our own disk that were found damaged since the start, or could not be read. */
  get badBlocks(): number {
    return this.#local.badCount
  }

  /** What is being pulled at this moment. */
  get repairing(): { blocks: number; bytes: number } {
    return this.#repair.repairing
  }

  /** Members that keep blocks, as the view has them. */
  get keeperCount(): number {
    return this.#rank().keeperCount
  }

  /** The change to the index by which a record claims its root. For the record's own batch. */
  static opsFor(record: Pick<RecordRef, 'id' | 'root' | 'replicas'>): IndexOp[] {
    return Repair.opsFor(record)
  }

  #open(options: PutOptions, number: Uint8Array): Put {
    const { self, codec } = this.#options
    const claimId = putIdOf(self, number)
    const key = toHex(claimId)
    this.#underWay.set(key, (this.#underWay.get(key) ?? 0) + 1)
    const onClose = (): void => {
      const left = (this.#underWay.get(key) ?? 1) - 1
      if (left > 0) this.#underWay.set(key, left)
      else this.#underWay.delete(key)
    }
    const deps: PutDeps = {
      ...this.#putDeps(),
      codec,
      local: this.#local,
      claims: this.#claims,
      window: this.#window,
      endWithRecord: (root, put) => this.#keeper.endWithRecord(root, put)
    }
    return new Put(deps, { options, number, claimId, onClose })
  }

  #putDeps(): AckMembers & Pick<PutDeps, 'clock' | 'logs' | 'storeClient'> {
    const { self, clock, admitted } = this.#options
    return {
      self,
      clock,
      logs: this.#putLogs,
      storeClient: this.#storeClient,
      ranking: () => this.#rank(),
      keepers: admitted,
      isAvoided: (peer: PeerId) => this.#health.isAvoided(peer)
    }
  }

  /** For each chunk of a file, 1 if it is here. */
  async #ownCopies(root: BlockCid): Promise<number[]> {
    const copies: number[] = []
    let batch: BlockCid[] = []
    const flush = async (): Promise<void> => {
      for (const isHere of await Promise.all(batch.map(cid => this.#local.has(cid)))) copies.push(isHere ? 1 : 0)
      batch = []
    }
    const readNode = async (cid: BlockCid): Promise<Uint8Array> => (await this.read(cid)).bytes
    for await (const { cid, chunkIndex } of walkManifest(root, readNode, this.#options.codec)) {
      if (chunkIndex !== null && batch.push(cid) === WALK_BATCH) await flush()
    }
    await flush()
    return copies
  }

  #rank(): Ranking {
    const view = this.#options.view()
    if (this.#ranking?.view !== view) this.#ranking = new Ranking(view)
    return this.#ranking
  }

  #mayFree(): boolean {
    return this.#options.mayFree() && this.#repair.isCertain
  }
}
