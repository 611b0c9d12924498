import { type BlockCid, blockKey, isNode } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { raceSignal } from '../../util/deadline.ts'
import { StoppedError } from '../../util/errors.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { FETCH_PAUSE_MS, FETCH_ROUNDS } from '../constants.ts'
import { BlockCorruptError, BlockUnreachableError, BlockUnreadableError } from '../errors.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { nameOf } from '../log-names.ts'
import type { Ranking } from '../rank.ts'
import type { PeerHealth } from './peer-health.ts'
import { boundOf, SourceAsker, type SourceAskerOptions } from './source-asker.ts'
import { orderSources } from './source-order.ts'

export interface FetcherOptions {
  self: PeerId
  clock: Clock
  logger: ComponentLogger
  local: LocalBlocks
  health: PeerHealth
  ranking: () => Ranking
  /** Returns the members that may be asked now. */
  admitted: () => readonly PeerId[]
  ask: SourceAskerOptions['ask']
  hedges: SourceAskerOptions['hedges']
}

export interface Fetched {
  bytes: Uint8Array
  /** Who delivered it: this member's own id if its disk did. */
  from: PeerId
  /** Call it when you are done with the bytes, so that their memory can be reused. Not calling it does no harm. */
  release: () => void
}

/** One search that several callers may share. */
interface Search {
  promise: Promise<{ bytes: Uint8Array; from: PeerId }>
  /** The number of callers that still wait for the block. */
  waiters: number
  /** The number of callers that have not released the block. */
  holders: number
  /** Called with the length of the block as soon as it is known. */
  readonly lengthListeners: Array<(bytes: number) => void>
  controller: AbortController
}

export interface FetchOptions {
  signal?: AbortSignal | undefined
  /** Members to ask first: the member that asked us to keep the block, or the one that it named. */
  prefer?: readonly PeerId[] | undefined
  /** Who wrote the record that needs the block. It is asked after the members that owe the block. */
  author?: PeerId | undefined
  /**
   * The number of members, first in rank, that owe the block. The default is a few. Every member owes manifest nodes.
   */
  replicas?: number | undefined
  /** The most bytes for which the caller has memory. A longer block is not received. */
  bytesMax?: number | undefined
  /** Called with the length of the block as soon as it is known, before the block is here. */
  onLength?: ((bytes: number) => void) | undefined
  /** Asks only the preferred members, and does not look on our disk, because a keeper has already looked there. */
  only?: boolean | undefined
  /** Goes down the ranking only once. Set it if the caller will retry by itself. */
  once?: boolean | undefined
}

type SearchOptions = Required<Pick<FetchOptions, 'prefer' | 'only' | 'once' | 'author' | 'replicas' | 'bytesMax'>> & {
  prefer: readonly PeerId[]
  bytesMax: number
  replicas: number
}

/**
 * Gets a block from wherever it is: from our own disk, or else from the other members in the order of the ranking.
 *
 * It promises that every byte it returns has been verified, and that callers who want the same block at the same time
 * share one search, which ends when the last of them gives up. If it finds a damaged copy on our disk, it replaces it.
 * It stores nothing else: a caller that wants to keep the block stores it itself (`BlockPuller`).
 */
export class Fetcher {
  readonly #options: FetcherOptions
  readonly #log: Logger
  readonly #asker: SourceAsker
  readonly #searches = new Map<string, Search>()

  constructor(options: FetcherOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:blocks:fetch')
    const { clock, health, ask, hedges } = options
    this.#asker = new SourceAsker({ clock, log: this.#log, health, ask, hedges })
  }

  /**
   * Returns the block's verified bytes. Throws a `BlockUnreachableError` if no member delivered the block, and a
   * `BlockCorruptError` if some member delivered a damaged copy and none a good one. If our own copy is damaged or
   * unreadable and no other can be obtained, it throws the error about our copy.
   */
  async fetch(cid: BlockCid, options: FetchOptions = {}): Promise<Fetched> {
    const local = options.only === true ? undefined : await this.#fromDisk(cid, options)
    if (local !== undefined) return local
    return this.#fromPeers(cid, options)
  }

  async #fromDisk(cid: BlockCid, options: FetchOptions): Promise<Fetched | undefined> {
    const { local, self } = this.#options
    const { signal } = options
    try {
      const bytes = await local.get(cid, signal)
      return bytes === undefined ? undefined : { bytes, from: self, release: () => local.returnBuffer(bytes) }
    } catch (error) {
      if (!(error instanceof BlockCorruptError || error instanceof BlockUnreadableError)) throw error
      return this.#repairDamaged(cid, error, options)
    }
  }

  /**
   * Gets a good copy of a block whose copy here is bad. Throws the error about our copy if no other can be obtained.
   */
  async #repairDamaged(
    cid: BlockCid,
    bad: BlockCorruptError | BlockUnreadableError,
    options: FetchOptions
  ): Promise<Fetched> {
    this.#log('block %s is bad on this disk, asking other members for it', nameOf(cid))
    const fetched = await this.#fromPeers(cid, options).catch(error => {
      this.#log('no other member could deliver block %s: %s', nameOf(cid), reasonOf(error))
      throw bad
    })
    // A disk that cannot be read may not be writable either, so nothing is replaced on it. If the write fails, the
    // caller still gets its block.
    if (bad instanceof BlockCorruptError)
      await this.#options.local.replace(cid, fetched.bytes).catch(error => {
        this.#log('could not replace the damaged block %s: %s', nameOf(cid), reasonOf(error))
      })
    return fetched
  }

  async #fromPeers(cid: BlockCid, options: FetchOptions): Promise<Fetched> {
    const { signal, prefer = [], only = false, once = false, author, onLength } = options
    const { replicas = isNode(cid) ? Number.POSITIVE_INFINITY : REPLICAS_USUAL, bytesMax = boundOf(cid) } = options
    signal?.throwIfAborted()
    const key = [blockKey(cid), bytesMax, ...(only ? prefer : []), ...(once ? ['once'] : [])].join(' ')
    const known = this.#searches.get(key)
    if (onLength !== undefined) known?.lengthListeners.push(onLength)
    const listeners = onLength === undefined ? [] : [onLength]
    const search = known ?? this.#begin(key, cid, { prefer, only, once, author, replicas, bytesMax }, listeners)
    search.waiters++
    search.holders++
    try {
      return this.#heldBy(search, await raceSignal(search.promise, signal))
    } finally {
      if (--search.waiters === 0) {
        search.controller.abort(NOBODY_WAITS)
        this.#forget(key, search.promise)
      }
    }
  }

  #begin(key: string, cid: BlockCid, options: SearchOptions, lengthListeners: Search['lengthListeners']): Search {
    const controller = new AbortController()
    const onLength = (bytes: number): void => {
      for (const listener of lengthListeners) listener(bytes)
    }
    const promise = this.#search(cid, options, onLength, controller.signal)
    const search = { promise, waiters: 0, holders: 0, lengthListeners, controller }
    this.#searches.set(key, search)
    const forget = (): void => this.#forget(key, promise)
    // Every waiting caller gets the error. If no caller waits any more, the error is the abort.
    promise.then(forget, forget)
    return search
  }

  // If a caller has given up or never releases the block, the buffer is not reused, which does no harm.
  #heldBy(search: Search, { bytes, from }: { bytes: Uint8Array; from: PeerId }): Fetched {
    let isHeld = true
    const release = (): void => {
      if (isHeld && --search.holders === 0) this.#options.local.returnBuffer(bytes)
      isHeld = false
    }
    return { bytes, from, release }
  }

  // By now the key may belong to another search.
  #forget(key: string, promise: Search['promise']): void {
    if (this.#searches.get(key)?.promise === promise) this.#searches.delete(key)
  }

  async #search(
    cid: BlockCid,
    options: SearchOptions,
    onLength: (bytes: number) => void,
    signal: AbortSignal
  ): Search['promise'] {
    let corrupt: BlockCorruptError | undefined
    let cause: unknown
    let told: number | undefined
    const tell = (bytes: number): void => {
      told = bytes
      onLength(bytes)
    }
    const rounds = options.once ? 1 : FETCH_ROUNDS
    for (let round = 1; round <= rounds; round++) {
      if (round > 1) await this.#options.clock.sleep(FETCH_PAUSE_MS, signal)
      const sources = this.#sources(cid, options)
      const { bytesMax } = options
      const found = await this.#asker.ask(cid, {
        sources,
        isChain: options.only === true,
        bytesMax,
        told,
        onLength: tell,
        signal
      })
      if ('bytes' in found) return found
      this.#log('round %d: no member delivered block %s, asked: %d', round, nameOf(cid), sources.length)
      corrupt ??= found.corrupt
      cause = found.error
      if (!found.isWorthRetrying) break
    }
    throw corrupt ?? new BlockUnreachableError(cid, { cause })
  }

  /** Returns the members to ask, in order: first the preferred ones, then as `orderSources` says. */
  #sources(cid: BlockCid, { prefer, only, author, replicas }: SearchOptions): PeerId[] {
    const { admitted, ranking, health, self } = this.#options
    const reachable = new Set(admitted())
    reachable.delete(self)
    const preferred = prefer.filter(peer => reachable.has(peer))
    // A member at fault comes after the asker, which has the block for sure.
    if (only) return preferred.sort((a, b) => Number(health.isAvoided(a)) - Number(health.isAvoided(b)))
    const ranked = ranking().readers(cid.multihash.digest)
    const ordered = orderSources({ ranked, replicas, author, reachable, health })
    const isFirst = (peer: PeerId): boolean => preferred.includes(peer) && !health.isAvoided(peer)
    return [...preferred.filter(isFirst), ...ordered.filter(peer => !isFirst(peer))]
  }
}

// Created once, because the error that `abort` would create by itself costs a stack trace for each block.
const NOBODY_WAITS = new StoppedError('nobody waits for the block any more')

/** The number of members, first in rank, that are assumed to have a block if the caller does not say how many do. */
const REPLICAS_USUAL = 3
