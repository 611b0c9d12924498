import { type BlockCid, blockKey, verifyBlock } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { raceSignal } from '../../util/deadline.ts'
import { isAbort, StoppedError } from '../../util/errors.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { DisconnectedError, ProtocolError, RefusedError } from '../../wire/errors.ts'
import { FETCH_PAUSE_MS, FETCH_ROUNDS, HEDGE_LATENCIES, HEDGE_MS } from '../constants.ts'
import { BlockCorruptError, BlockUnreachableError, BlockUnreadableError } from '../errors.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { nameOf } from '../log-names.ts'
import type { Ranking } from '../rank.ts'
import type { PeerHealth } from './peer-health.ts'
import { type Outcome, SourceRace } from './source-race.ts'

export interface FetcherOptions {
  self: PeerId
  clock: Clock
  logger: ComponentLogger
  local: LocalBlocks
  health: PeerHealth
  ranking: () => Ranking
  /** Returns the members that may be asked now. */
  admitted: () => PeerId[]
  ask: (peer: PeerId, cid: BlockCid, signal: AbortSignal) => Promise<Uint8Array>
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
  controller: AbortController
}

export interface FetchOptions {
  signal?: AbortSignal | undefined
  /** Members to ask first: the author of the record, or the member that asked us to keep the block. */
  prefer?: readonly PeerId[] | undefined
  /** Asks only the preferred members, and does not look on our disk, because a keeper has already looked there. */
  only?: boolean | undefined
  /** Goes down the ranking only once. Set it if the caller will retry by itself. */
  once?: boolean | undefined
}

interface SearchOptions {
  prefer: readonly PeerId[]
  only: boolean
  once: boolean
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
  readonly #searches = new Map<string, Search>()

  constructor(options: FetcherOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:blocks:fetch')
  }

  /**
   * Returns the block's verified bytes. Throws a `BlockUnreachableError` if no member delivered the block, and a
   * `BlockCorruptError` if some member delivered a damaged copy and none a good one. If our own copy is damaged or
   * unreadable and no other can be obtained, it throws the error about our copy.
   */
  async fetch(cid: BlockCid, options: FetchOptions = {}): Promise<Fetched> {
    const local = options.only === true ? undefined : await this.#fromDisk(cid, options.signal)
    if (local !== undefined) return local
    return this.#fromPeers(cid, options)
  }

  async #fromDisk(cid: BlockCid, signal: AbortSignal | undefined): Promise<Fetched | undefined> {
    const { local, self } = this.#options
    try {
      const bytes = await local.get(cid, signal)
      return bytes === undefined ? undefined : { bytes, from: self, release: () => local.returnBuffer(bytes) }
    } catch (error) {
      if (!(error instanceof BlockCorruptError || error instanceof BlockUnreadableError)) throw error
      return this.#repairDamaged(cid, error, signal)
    }
  }

  /**
   * Gets a good copy of a block whose copy here is bad. Throws the error about our copy if no other can be obtained.
   */
  async #repairDamaged(
    cid: BlockCid,
    bad: BlockCorruptError | BlockUnreadableError,
    signal: AbortSignal | undefined
  ): Promise<Fetched> {
    this.#log('block %s is bad on this disk, asking other members for it', nameOf(cid))
    const fetched = await this.#fromPeers(cid, { signal }).catch(error => {
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
    const { signal, prefer = [], only = false, once = false } = options
    signal?.throwIfAborted()
    const key = [blockKey(cid), ...(only ? prefer : []), ...(once ? ['once'] : [])].join(' ')
    const search = this.#searches.get(key) ?? this.#begin(key, cid, { prefer, only, once })
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

  #begin(key: string, cid: BlockCid, options: SearchOptions): Search {
    const controller = new AbortController()
    const promise = this.#search(cid, options, controller.signal)
    const search = { promise, waiters: 0, holders: 0, controller }
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

  async #search(cid: BlockCid, options: SearchOptions, signal: AbortSignal): Search['promise'] {
    let corrupt: BlockCorruptError | undefined
    const rounds = options.once ? 1 : FETCH_ROUNDS
    for (let round = 1; round <= rounds; round++) {
      if (round > 1) await this.#options.clock.sleep(FETCH_PAUSE_MS, signal)
      const sources = this.#sources(cid, options)
      const race = new SourceRace({
        sources,
        ask: (peer, signal) => this.#askOne(peer, cid, signal),
        patience: (peer, signal) => this.#patience(peer, signal),
        onSlow: peer => this.#log('%s is slow to deliver block %s, asking the next member too', peer, nameOf(cid))
      })
      const found = await race.run(signal)
      if ('bytes' in found) return found
      this.#log('round %d: no member delivered block %s, asked: %d', round, nameOf(cid), sources.length)
      corrupt ??= found.corrupt
      if (!found.isWorthRetrying) break
    }
    throw corrupt ?? new BlockUnreachableError(cid)
  }

  /**
   * Returns the members to ask, in order: first the preferred ones, then the ranking, with the fastest of the likely
   * owners first.
   */
  #sources(cid: BlockCid, { prefer, only }: SearchOptions): PeerId[] {
    const { admitted, ranking, health, self } = this.#options
    const reachable = new Set(admitted())
    const preferred = prefer.filter(peer => reachable.has(peer) && peer !== self)
    if (only) return preferred
    const ranked = ranking()
      .readers(cid.multihash.digest)
      .filter(peer => reachable.has(peer) && !preferred.includes(peer))
    const unranked = [...reachable].filter(peer => !preferred.includes(peer) && !ranked.includes(peer))
    const ordered = [...preferred, ...bySpeed(ranked, health), ...unranked]
    return [...ordered.filter(peer => !health.isAvoided(peer)), ...ordered.filter(peer => health.isAvoided(peer))]
  }

  /**
   * Resolves once a source has taken much longer than it usually does. It compares with the usual time because over a
   * slow link every source takes long.
   */
  #patience(peer: PeerId, signal: AbortSignal): Promise<undefined> {
    const { clock, health } = this.#options
    const patienceMs = Math.max(HEDGE_MS, HEDGE_LATENCIES * health.latencyMs(peer))
    const patience = clock.sleep(patienceMs, signal).then(() => undefined)
    // The sleep rejects only when it is aborted. By then the race is over and nobody awaits it.
    patience.catch(() => {})
    return patience
  }

  async #askOne(peer: PeerId, cid: BlockCid, signal: AbortSignal): Promise<Outcome> {
    const { ask, health } = this.#options
    const end = health.begin(peer)
    this.#log.trace('asking %s for block %s', peer, nameOf(cid))
    try {
      const bytes = await ask(peer, cid, signal)
      if (!verifyBlock(cid, bytes)) throw new BlockCorruptError(cid, peer)
      end('delivered')
      this.#log.trace('%s delivered block %s', peer, nameOf(cid))
      return { peer, bytes }
    } catch (error) {
      const isMissing = error instanceof RefusedError && error.status === 'not-found'
      end(isMissing ? 'missing' : 'failed')
      if (isMissing || signal.aborted)
        this.#log.trace('%s did not deliver block %s: %s', peer, nameOf(cid), reasonOf(error))
      else this.#log('%s did not deliver block %s: %s', peer, nameOf(cid), reasonOf(error))
      if (isFault(error) && !signal.aborted) health.fault(peer)
      return { peer, error }
    }
  }
}

/**
 * Returns true if the error is the source's fault: silence or a wrong block. Not having the block, or disconnecting, is
 * not a fault. Broken frames were already counted as faults where they were read. The call has already counted silence
 * as a fault, so silence counts twice.
 */
function isFault(error: unknown): boolean {
  const isInnocent = [RefusedError, DisconnectedError, ProtocolError].some(kind => error instanceof kind)
  return !isInnocent && !isAbort(error)
}

// Created once, because the error that `abort` would create by itself costs a stack trace for each block.
const NOBODY_WAITS = new StoppedError('nobody waits for the block any more')

// The first few members in rank should have the block, so speed decides among them. The sort is stable, so equally fast
// members keep the order of their rank.
const LIKELY_OWNERS = 3

function bySpeed(ranked: PeerId[], health: PeerHealth): PeerId[] {
  const likely = ranked.slice(0, LIKELY_OWNERS).sort((a, b) => health.costMs(a) - health.costMs(b))
  return [...likely, ...ranked.slice(LIKELY_OWNERS)]
}
