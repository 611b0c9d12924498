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
  /** Members that may be asked now. */
  admitted: () => PeerId[]
  ask: (peer: PeerId, cid: BlockCid, signal: AbortSignal) => Promise<Uint8Array>
}

export interface Fetched {
  bytes: Uint8Array
  /** Who delivered it: this member's own id if its disk did. */
  from: PeerId
  /** Says that the caller is done with the bytes, so that their memory can be used again. It need not be called. */
  release: () => void
}

/** One search that several callers may share. */
interface Search {
  promise: Promise<{ bytes: Uint8Array; from: PeerId }>
  /** Callers that still wait for the block. */
  waiters: number
  /** Callers that have not released the block. */
  holders: number
  controller: AbortController
}

export interface FetchOptions {
  signal?: AbortSignal | undefined
  /** Members to ask first: the author of the record, or the member that asked us to keep the block. */
  prefer?: readonly PeerId[] | undefined
  /** Asks the preferred members and nobody else, and does not look on our disk: a keeper has looked already. */
  only?: boolean | undefined
  /** Goes down the ranking once: the caller will come back by itself. */
  once?: boolean | undefined
}

interface SearchOptions {
  prefer: readonly PeerId[]
  only: boolean
  once: boolean
}

/**
 * Gets a block from wherever it is: from our own disk, else from the other members down the ranking.
 *
 * It promises that every byte it returns has been verified, and that callers who want the same block at the same time share
 * one search, which ends when the last of them gives up. It heals a copy on our disk that it finds damaged. It stores
 * nothing else: a caller that wants to keep the block does that (`BlockPuller`).
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
   * Returns the block's verified bytes. Throws a `BlockUnreachableError`, or a `BlockCorruptError` if every copy that came
   * was damaged.
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
      return this.#heal(cid, error, signal)
    }
  }

  /** Gets a true copy of a block whose copy here is bad. Throws what is wrong with ours if no other copy can be had. */
  async #heal(
    cid: BlockCid,
    bad: BlockCorruptError | BlockUnreadableError,
    signal: AbortSignal | undefined
  ): Promise<Fetched> {
    this.#log('block %s is bad on this disk, asking other members for it', nameOf(cid))
    const healed = await this.#fromPeers(cid, { signal }).catch(error => {
      this.#log('no other member could deliver block %s: %s', nameOf(cid), reasonOf(error))
      throw bad
    })
    // A disk that cannot be read may be one that cannot be written: that is no reason not to return what came.
    if (bad instanceof BlockCorruptError)
      await this.#options.local.mend(cid, healed.bytes).catch(error => {
        this.#log('could not write block %s again: %s', nameOf(cid), reasonOf(error))
      })
    return healed
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
    // Each caller that waits gets the error; if none waits any more, it is the abort.
    promise.then(forget, forget)
    return search
  }

  // A caller that gave up, or never releases, keeps the buffer from being used again, which does no harm.
  #heldBy(search: Search, { bytes, from }: { bytes: Uint8Array; from: PeerId }): Fetched {
    let isHeld = true
    const release = (): void => {
      if (isHeld && --search.holders === 0) this.#options.local.returnBuffer(bytes)
      isHeld = false
    }
    return { bytes, from, release }
  }

  // Another search may have taken its place by now.
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
      this.#log('none of %d members could deliver block %s in round %d', sources.length, nameOf(cid), round)
      corrupt ??= found.corrupt
      if (!found.isWorthRetrying) break
    }
    throw corrupt ?? new BlockUnreachableError(cid)
  }

  /** Whom to ask, in order: preferred ones, then the ranking, the quickest of the likely owners first. */
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

  /** Resolves once a source has taken longer than it does as a rule: over a thin link all take long. */
  #patience(peer: PeerId, signal: AbortSignal): Promise<undefined> {
    const { clock, health } = this.#options
    const patienceMs = Math.max(HEDGE_MS, HEDGE_LATENCIES * health.latencyMs(peer))
    const patience = clock.sleep(patienceMs, signal).then(() => undefined)
    // It fails only if it is aborted, and then the race that it belongs to is over.
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
 * True of what a source is to blame for: silence and a wrong block. It is no fault to have no such block, or to go away, and
 * broken frames have been counted where they were read.
 */
function isFault(error: unknown): boolean {
  const isInnocent = [RefusedError, DisconnectedError, ProtocolError].some(kind => error instanceof kind)
  return !isInnocent && !isAbort(error)
}

// Made once: what `abort` makes by itself costs a stack trace a block.
const NOBODY_WAITS = new StoppedError('nobody waits for the block any more')

// The first few in rank are where the block should be: among them speed decides. A stable sort keeps the rank of equals.
const LIKELY_OWNERS = 3

function bySpeed(ranked: PeerId[], health: PeerHealth): PeerId[] {
  const likely = ranked.slice(0, LIKELY_OWNERS).sort((a, b) => health.costMs(a) - health.costMs(b))
  return [...likely, ...ranked.slice(LIKELY_OWNERS)]
}
