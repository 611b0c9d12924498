import { type BlockCid, blockKey, verifyBlock } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { raceSignal } from '../../util/deadline.ts'
import { isAbort, StoppedError } from '../../util/errors.ts'
import { DisconnectedError, ProtocolError, RefusedError } from '../../wire/errors.ts'
import { FETCH_PAUSE_MS, FETCH_ROUNDS, HEDGE_LATENCIES, HEDGE_MAX, HEDGE_MS } from '../constants.ts'
import { BlockCorruptError, BlockUnreachableError, BlockUnreadableError } from '../errors.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import type { Ranking } from '../rank.ts'
import type { PeerHealth } from './peer-health.ts'

export interface FetcherOptions {
  self: PeerId
  clock: Clock
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

/** Several may have waited for one block: who they are is known once it is here. */
interface Search {
  promise: Promise<{ bytes: Uint8Array; from: PeerId }>
  /** Those that wait, and those that have not released it. */
  users: number
  holders: number
  controller: AbortController
}

export interface FetchOptions {
  signal?: AbortSignal | undefined
  /** Members to ask first: the author of the record, whoever asked us to keep it. */
  prefer?: readonly PeerId[] | undefined
  /** Only those: a keeper pulls from the one that asked it, and from nobody else. */
  only?: boolean | undefined
  /** Down the ranking once: whoever asks will come back by itself. */
  once?: boolean | undefined
}

interface Outcome {
  peer: PeerId
  bytes?: Uint8Array
  error?: unknown
}

/**
 * Gets a block from wherever it is: our own disk, else down the ranking. Every byte is verified; a source that fails is
 * followed by the next at once, one that is slow is joined by it. Requests for one block share one search.
 */
export class Fetcher {
  readonly #options: FetcherOptions
  readonly #searches = new Map<string, Search>()

  constructor(options: FetcherOptions) {
    this.#options = options
  }

  /** The block's verified bytes. Throws `BlockUnreachableError`, or `BlockCorruptError` if all that came was damaged. */
  async fetch(cid: BlockCid, options: FetchOptions = {}): Promise<Fetched> {
    // A keeper has looked already.
    const local = options.only === true ? undefined : await this.#fromDisk(cid, options.signal)
    if (local !== undefined) return local
    return this.#fromPeers(cid, options)
  }

  async #fromDisk(cid: BlockCid, signal: AbortSignal | undefined): Promise<Fetched | undefined> {
    const { local, self } = this.#options
    try {
      const bytes = await local.get(cid, signal)
      return bytes === undefined ? undefined : { bytes, from: self, release: () => local.giveBack(bytes) }
    } catch (error) {
      if (!(error instanceof BlockCorruptError || error instanceof BlockUnreadableError)) throw error
      // Another member's copy heals ours; if there is none, the damage is what the caller must hear of.
      const healed = await this.#fromPeers(cid, { signal }).catch(() => undefined)
      if (healed === undefined) throw error
      // A disk that cannot be read may be one that cannot be written: no reason not to hand on what came.
      if (error instanceof BlockCorruptError) await local.mend(cid, healed.bytes).catch(() => {})
      return healed
    }
  }

  async #fromPeers(cid: BlockCid, options: FetchOptions): Promise<Fetched> {
    const { signal, prefer = [], only = false, once = false } = options
    signal?.throwIfAborted()
    const key = [blockKey(cid), ...(only ? prefer : []), ...(once ? ['once'] : [])].join(' ')
    let search = this.#searches.get(key)
    if (search === undefined) {
      const controller = new AbortController()
      const promise = this.#search(cid, { prefer, only, once, signal: controller.signal })
      search = { promise, users: 0, holders: 0, controller }
      this.#searches.set(key, search)
      const forget = (): void => this.#forget(key, promise)
      promise.then(forget, forget)
    }
    search.users++
    search.holders++
    try {
      return this.#heldBy(search, await raceSignal(search.promise, signal))
    } finally {
      if (--search.users === 0) {
        search.controller.abort(OVER)
        this.#forget(key, search.promise)
      }
    }
  }

  // Whoever gave up, or does not say that it is done, keeps the buffer from being used again, and that is no harm.
  #heldBy(search: Search, { bytes, from }: { bytes: Uint8Array; from: PeerId }): Fetched {
    let isHeld = true
    const release = (): void => {
      if (isHeld && --search.holders === 0) this.#options.local.giveBack(bytes)
      isHeld = false
    }
    return { bytes, from, release }
  }

  // Another search may have taken its place by now.
  #forget(key: string, promise: Search['promise']): void {
    if (this.#searches.get(key)?.promise === promise) this.#searches.delete(key)
  }

  async #search(
    cid: BlockCid,
    { prefer, only, once, signal }: { prefer: readonly PeerId[]; only: boolean; once: boolean; signal: AbortSignal }
  ): Search['promise'] {
    let corrupt: BlockCorruptError | undefined
    for (let round = 0; round < (once ? 1 : FETCH_ROUNDS); round++) {
      if (round > 0) await this.#options.clock.sleep(FETCH_PAUSE_MS, signal)
      const found = await this.#askAll(cid, this.#sources(cid, prefer, only), signal)
      if ('bytes' in found) return found
      corrupt ??= found.corrupt
      // Who answered that it has none will say so again; only those we could not ask are worth another round.
      if (!found.isWorthRetrying) break
    }
    throw corrupt ?? new BlockUnreachableError(cid)
  }

  /** Whom to ask, in order: preferred ones, then the ranking, the quickest of the likely owners first. */
  #sources(cid: BlockCid, prefer: readonly PeerId[], only: boolean): PeerId[] {
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

  async #askAll(
    cid: BlockCid,
    sources: PeerId[],
    signal: AbortSignal
  ): Promise<Awaited<Search['promise']> | { corrupt: BlockCorruptError | undefined; isWorthRetrying: boolean }> {
    const losers = new AbortController()
    const joined = AbortSignal.any([signal, losers.signal])
    let corrupt: BlockCorruptError | undefined
    let isWorthRetrying = sources.length === 0
    const waiting = [...sources]
    const asked = new Map<PeerId, Promise<Outcome>>()
    let hedge: Promise<undefined> | undefined
    const askNext = (): void => {
      const peer = waiting.shift()
      if (peer === undefined) return
      asked.set(peer, this.#askOne(peer, cid, joined))
      const mayHedge = waiting.length > 0 && asked.size < HEDGE_MAX
      hedge = mayHedge ? this.#patience(peer, joined) : undefined
    }
    try {
      askNext()
      while (asked.size > 0) {
        signal.throwIfAborted()
        const outcome = await Promise.race([...asked.values(), ...(hedge === undefined ? [] : [hedge])])
        if (outcome === undefined) {
          hedge = undefined
          askNext()
          continue
        }
        if (outcome.bytes !== undefined) return { bytes: outcome.bytes, from: outcome.peer }
        asked.delete(outcome.peer)
        if (outcome.error instanceof BlockCorruptError) corrupt = outcome.error
        if (outcome.error instanceof DisconnectedError) isWorthRetrying = true
        askNext()
      }
      signal.throwIfAborted()
      return { corrupt, isWorthRetrying }
    } finally {
      losers.abort(OVER)
    }
  }

  /** Resolves once the last that was asked has taken longer than it does as a rule: over a thin link all take long. */
  #patience(peer: PeerId, signal: AbortSignal): Promise<undefined> {
    const { clock, health } = this.#options
    const patience = clock
      .sleep(Math.max(HEDGE_MS, HEDGE_LATENCIES * health.latencyMs(peer)), signal)
      .then(() => undefined)
    patience.catch(() => {})
    return patience
  }

  async #askOne(peer: PeerId, cid: BlockCid, signal: AbortSignal): Promise<Outcome> {
    const { ask, health } = this.#options
    const end = health.begin(peer)
    try {
      const bytes = await ask(peer, cid, signal)
      if (!verifyBlock(cid, bytes)) throw new BlockCorruptError(cid, peer)
      end('delivered')
      return { peer, bytes }
    } catch (error) {
      end(error instanceof RefusedError && error.status === 'not-found' ? 'missing' : 'failed')
      // That it has none, or went away, is no fault; silence and a wrong block are. Broken frames have been counted.
      const isInnocent = [RefusedError, DisconnectedError, ProtocolError].some(kind => error instanceof kind)
      if (!isInnocent && !isAbort(error) && !signal.aborted) health.fault(peer)
      return { peer, error }
    }
  }
}

// Made once: what `abort` makes by itself costs a stack trace a block.
const OVER = new StoppedError('another source has delivered it')

// The first few in rank are where the block should be: among them speed decides. A stable sort keeps the rank of equals.
const LIKELY_OWNERS = 3

function bySpeed(ranked: PeerId[], health: PeerHealth): PeerId[] {
  const likely = ranked.slice(0, LIKELY_OWNERS).sort((a, b) => health.costMs(a) - health.costMs(b))
  return [...likely, ...ranked.slice(LIKELY_OWNERS)]
}
