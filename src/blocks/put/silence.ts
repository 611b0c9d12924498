import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { ASK_MS, FEW_BYTES, KEEP_SILENCE_MS, SILENCE_GAPS, SILENCE_MS, SILENT_AGAIN_MS } from '../constants.ts'

/** Asks a peer whether it is there. Resolves with false if it does not answer in time; never rejects. */
export type IsThere = (peer: PeerId) => Promise<boolean>

export interface SilenceOptions {
  clock: Clock
  isThere: IsThere
  /** Returns the number of bytes of blocks that are being sent to a peer because it pulls them. */
  pulledBytes: (peer: PeerId) => number
}

/** What a caller waits for. */
export interface Wait {
  /** How much longer than usual the peer may be quiet. */
  extraMs?: number | undefined
  /** The number of bytes that the peer has to receive before it can answer. */
  sentBytes?: number | undefined
}

interface PeerSigns {
  /** The number of callers that wait for the peer, and the longest extra time that one of them grants it. */
  waiting: number
  extraMs: number
  /** The bytes that these callers send to it. */
  sentBytes: number
  lastSignAtMs: number
  /** The longest recent time between two signs of life while a caller waited. */
  gapMs: number
  /** True while the peer has pulled a block and given no answer since. */
  isPulling: boolean
  /** True once it has answered after it had pulled a block, so that `gapMs` says how long that takes. */
  hasDelivered: boolean
  isSilent: boolean
  /** True if it is silent and has not answered the question whether it is there, so that it is not merely busy. */
  isFrozen: boolean
  /** True if it is silent and did not answer that question in time. */
  isGone: boolean
  /**
   * When it was asked, while it was quiet, whether it is there; undefined if it was not asked since its last sign, or has
   * answered.
   */
  askedAtMs: number | undefined
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
 * A quiet member is asked whether it is there, which it answers at once however busy its disk is. If the answer does not
 * come, the member is frozen, has gone or is cut off, so it counts as silent after `SILENCE_MS`, however slow it usually
 * is. This says nothing while much is being sent to the member, because over a slow link the question waits behind that.
 * A member that has fallen silent is asked once more. If it does not answer then, a put no longer waits for it. The
 * connection itself may take half a minute to notice that.
 *
 * A silent member may still answer. If another member was asked in its place, the worst result is a surplus copy.
 */
export class SilenceWatch {
  readonly #clock: Clock
  readonly #options: SilenceOptions
  readonly #peers = new Map<PeerId, PeerSigns>()
  readonly #listeners = new Set<() => void>()

  constructor(options: SilenceOptions) {
    this.#clock = options.clock
    this.#options = options
  }

  /**
   * Calls a listener whenever a member falls silent or is heard again. Returns the function that removes the listener.
   */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Waits for an answer of a peer, but no longer than until the peer is silent and does not say that it is there. Then
   * it resolves with undefined, and a failure of `work` goes unnoticed.
   */
  async waitFor<T>(peer: PeerId, work: () => Promise<T>): Promise<T | undefined> {
    const end = this.begin(peer)
    const frozen = Promise.withResolvers<undefined>()
    const look = (): void => {
      if (this.isSilent(peer) && this.#peers.get(peer)?.isFrozen === true) frozen.resolve(undefined)
    }
    const stopListening = this.listen(look)
    look()
    const answer = work()
      .then(result => {
        this.noteAnswer(peer)
        return result
      })
      .finally(end)
    try {
      return await Promise.race([answer, frozen.promise])
    } finally {
      stopListening()
    }
  }

  /** Notes that a caller begins to wait for a peer. It must call the returned function once, when the wait is over. */
  begin(peer: PeerId, { extraMs = 0, sentBytes = 0 }: Wait = {}): () => void {
    const signs = this.#of(peer)
    signs.sentBytes += sentBytes
    signs.extraMs = Math.max(signs.extraMs, extraMs)
    if (signs.waiting === 0) {
      // A peer that was silent long ago has another chance. A pull that it began during an earlier wait is over.
      signs.isSilent = this.isSilent(peer)
      signs.isFrozen &&= signs.isSilent
      signs.isGone &&= signs.isSilent
      signs.isPulling = false
      signs.lastSignAtMs = this.#clock.monotonic()
      signs.askedAtMs = undefined
      this.#watch(peer, signs)
    }
    signs.waiting++
    return () => {
      signs.sentBytes -= sentBytes
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
    signs.isFrozen = false
    signs.isGone = false
    if (signs.isSilent) {
      signs.isSilent = false
      this.#tell()
    } else if (signs.waiting > 0) signs.gapMs = Math.max(nowMs - signs.lastSignAtMs, signs.gapMs * GAP_DECAY)
    signs.lastSignAtMs = nowMs
    signs.askedAtMs = undefined
    if (signs.waiting > 0 && signs.cancel === undefined) this.#watch(peer, signs)
  }

  /** Looks at a peer again when it may be due to be asked, or to be silent. */
  #watch(peer: PeerId, signs: PeerSigns): void {
    const quietMs = this.#clock.monotonic() - signs.lastSignAtMs
    const leftMs = allowedMs(signs) - quietMs
    const nextMs = Math.min(leftMs, quietMs < ASK_MS ? ASK_MS - quietMs : ASK_MS)
    signs.cancel = this.#clock.after(nextMs, () => {
      signs.cancel = undefined
      const nowMs = this.#clock.monotonic()
      const quietMs = nowMs - signs.lastSignAtMs
      const hasNotAnswered = signs.askedAtMs !== undefined && nowMs - signs.askedAtMs >= SILENCE_MS - ASK_MS
      if (quietMs >= allowedMs(signs) || hasNotAnswered) {
        signs.isFrozen = hasNotAnswered
        return this.#noteSilent(peer, signs)
      }
      if (quietMs >= ASK_MS && signs.askedAtMs === undefined && this.#hasFewBytesToReceive(peer, signs))
        void this.#askEarly(peer, signs)
      this.#watch(peer, signs)
    })
  }

  #noteSilent(peer: PeerId, signs: PeerSigns): void {
    signs.isSilent = true
    this.#tell()
    void this.#askSilent(peer, signs)
  }

  #hasFewBytesToReceive(peer: PeerId, { sentBytes }: PeerSigns): boolean {
    return sentBytes + this.#options.pulledBytes(peer) <= FEW_BYTES
  }

  async #askEarly(peer: PeerId, signs: PeerSigns): Promise<void> {
    const askedAtMs = this.#clock.monotonic()
    signs.askedAtMs = askedAtMs
    const isThere = await this.#options.isThere(peer)
    // If it has given a sign since, this answer is about an earlier silence.
    if (isThere && signs.askedAtMs === askedAtMs) signs.askedAtMs = undefined
  }

  async #askSilent(peer: PeerId, signs: PeerSigns): Promise<void> {
    const isThere = await this.#options.isThere(peer)
    // It may have been heard or forgotten while it was asked.
    if (isThere || !signs.isSilent || this.#peers.get(peer) !== signs) return
    signs.isFrozen = true
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
        sentBytes: 0,
        lastSignAtMs: 0,
        gapMs: 0,
        isPulling: false,
        hasDelivered: false,
        isSilent: false,
        isFrozen: false,
        isGone: false,
        askedAtMs: undefined,
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
