import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { KEEP_SILENCE_MS, SILENCE_GAPS, SILENCE_MS, SILENT_AGAIN_MS } from '../constants.ts'

/** Asks a peer whether it is there. Resolves with false if it does not answer in time; never rejects. */
export type IsThere = (peer: PeerId) => Promise<boolean>

interface PeerSigns {
  /** The number of callers that wait for the peer, and the longest extra time that one of them grants it. */
  waiting: number
  extraMs: number
  lastSignAtMs: number
  /** The longest recent time between two signs of life while a caller waited. */
  gapMs: number
  /** True while the peer has pulled a block and given no answer since. */
  isPulling: boolean
  /** True once it has answered after it had pulled a block, so that `gapMs` says how long that takes. */
  hasDelivered: boolean
  isSilent: boolean
  /** True if it is silent and did not answer the question whether it is there. */
  isGone: boolean
  /** When the last wait for it ended. */
  endedAtMs: number
  cancel: (() => void) | undefined
}

/**
 * Notices members that show no sign of life while a put waits for them: no answer, no pull. All puts share what one of
 * them notices. A member behind a slow link is not silent: it pulls a block, and then nothing is heard of it until all
 * of the block has arrived. So a member may be quiet for `SILENCE_GAPS` times as long as it usually is between
 * two signs. While it pulls its first block, it may be quiet until the client gives it up.
 *
 * A member that falls silent is asked whether it is there, which it answers at once however busy its disk is. If it does
 * not, it has gone or is cut off, and a put no longer waits for it. The connection itself may take half a minute to
 * notice that.
 *
 * A silent member may still answer. If another member was asked in its place, the worst result is a surplus copy.
 */
export class SilenceWatch {
  readonly #clock: Clock
  readonly #isThere: IsThere
  readonly #peers = new Map<PeerId, PeerSigns>()
  readonly #listeners = new Set<() => void>()

  constructor(clock: Clock, isThere: IsThere) {
    this.#clock = clock
    this.#isThere = isThere
  }

  /**
   * Calls a listener whenever a member falls silent or is heard again. Returns the function that removes the listener.
   */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Notes that a caller begins to wait for a peer, which may be quiet for `extraMs` longer than usual. The caller must
   * call the returned function once, when the wait is over.
   */
  begin(peer: PeerId, extraMs = 0): () => void {
    const signs = this.#of(peer)
    signs.extraMs = Math.max(signs.extraMs, extraMs)
    if (signs.waiting === 0) {
      // A peer that was silent long ago has another chance. A pull that it began during an earlier wait is over.
      signs.isSilent = this.isSilent(peer)
      signs.isGone &&= signs.isSilent
      signs.isPulling = false
      signs.lastSignAtMs = this.#clock.monotonic()
      this.#watch(peer, signs)
    }
    signs.waiting++
    return () => {
      if (--signs.waiting > 0) return
      signs.endedAtMs = this.#clock.monotonic()
      signs.extraMs = 0
      signs.cancel?.()
      signs.cancel = undefined
    }
  }

  /** Notes an answer of a peer. */
  noteAnswer(peer: PeerId): void {
    const signs = this.#peers.get(peer)
    if (signs === undefined) return
    if (signs.isPulling) signs.hasDelivered = true
    signs.isPulling = false
    this.#noteSign(peer, signs)
  }

  /** Notes that a peer pulls a block from us. */
  notePull(peer: PeerId): void {
    const signs = this.#peers.get(peer)
    if (signs === undefined) return
    signs.isPulling = true
    this.#noteSign(peer, signs)
  }

  /** Forgets a peer that has disconnected. When it comes back, nothing is held against it. */
  forget(peer: PeerId): void {
    this.#peers.get(peer)?.cancel?.()
    this.#peers.delete(peer)
  }

  /** Returns true for a peer that is silent, or was when it was last waited for, unless that was long ago. */
  isSilent(peer: PeerId): boolean {
    const signs = this.#peers.get(peer)
    if (signs?.isSilent !== true) return false
    return signs.waiting > 0 || this.#clock.monotonic() - signs.endedAtMs < SILENT_AGAIN_MS
  }

  /** Returns true for a silent peer that does not even answer the question whether it is there. */
  isGone(peer: PeerId): boolean {
    return this.#peers.get(peer)?.isGone === true && this.isSilent(peer)
  }

  #noteSign(peer: PeerId, signs: PeerSigns): void {
    const nowMs = this.#clock.monotonic()
    signs.isGone = false
    if (signs.isSilent) {
      signs.isSilent = false
      this.#tell()
    } else if (signs.waiting > 0) signs.gapMs = Math.max(nowMs - signs.lastSignAtMs, signs.gapMs * GAP_DECAY)
    signs.lastSignAtMs = nowMs
    if (signs.waiting > 0 && signs.cancel === undefined) this.#watch(peer, signs)
  }

  #watch(peer: PeerId, signs: PeerSigns): void {
    const quietMs = this.#clock.monotonic() - signs.lastSignAtMs
    signs.cancel = this.#clock.after(allowedMs(signs) - quietMs, () => {
      signs.cancel = undefined
      if (this.#clock.monotonic() - signs.lastSignAtMs < allowedMs(signs)) return this.#watch(peer, signs)
      signs.isSilent = true
      this.#tell()
      void this.#ask(peer, signs)
    })
  }

  async #ask(peer: PeerId, signs: PeerSigns): Promise<void> {
    const isThere = await this.#isThere(peer)
    // It may have been heard or forgotten while it was asked.
    if (isThere || !signs.isSilent || this.#peers.get(peer) !== signs) return
    signs.isGone = true
    this.#tell()
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener()
  }

  #of(peer: PeerId): PeerSigns {
    let signs = this.#peers.get(peer)
    if (signs === undefined) {
      signs = {
        waiting: 0,
        extraMs: 0,
        lastSignAtMs: 0,
        gapMs: 0,
        isPulling: false,
        hasDelivered: false,
        isSilent: false,
        isGone: false,
        endedAtMs: 0,
        cancel: undefined
      }
      this.#peers.set(peer, signs)
    }
    return signs
  }
}

/** How much of the longest gap is left after each sign, so that one long gap is forgotten after a few hundred signs. */
const GAP_DECAY = 0.98

function allowedMs({ isPulling, hasDelivered, gapMs, extraMs }: PeerSigns): number {
  if (isPulling && !hasDelivered) return KEEP_SILENCE_MS
  return Math.min(KEEP_SILENCE_MS, Math.max(SILENCE_MS, gapMs * SILENCE_GAPS) + extraMs)
}
