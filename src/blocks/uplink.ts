import type { PeerId } from '../format/peer-id.ts'
import type { Clock } from '../util/clock.ts'
import { STREAM_WINDOW_BYTES } from '../wire/constants.ts'
import { UPLINK_GAP_MS_MAX, UPLINK_MEMORY_MS, UPLINK_SAMPLE_MS, WIDE_BYTES_PER_S } from './constants.ts'

/**
 * `thin` if the uplink is what a put waits for, so that sending a block twice takes twice as long; `wide` if processors
 * and disks are slower than the uplink; `unknown` until enough has been sent.
 */
export type UplinkWidth = 'unknown' | 'thin' | 'wide'

const SAMPLE_BYTES = (WIDE_BYTES_PER_S * UPLINK_SAMPLE_MS) / 1000

/**
 * Measures how fast blocks leave this machine, to all members together. It looks only at the time in which some member
 * waits for a block that is being sent to it, so a quiet node or a slow source of a put does not look like a thin uplink.
 * The last second or two of that time count.
 */
export class Uplink {
  readonly #clock: Clock
  /** The members that have been sent something before the width was known. */
  readonly #seen = new Set<PeerId>()
  #isKnown = false
  #bytes = 0
  #busyMs = 0
  #sending = 0
  /** Until when `#busyMs` has been counted; monotonic. */
  #countedAtMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Notes that a block is being sent. The caller must call the returned function once, when all of it has been sent. */
  begin(peer: PeerId, bytes: number): () => void {
    if (this.#sending++ === 0) this.#countedAtMs = this.#clock.monotonic()
    if (!this.#isKnown) this.#seen.add(peer)
    return () => {
      const nowMs = this.#clock.monotonic()
      // A member that has frozen takes nothing for a long time, which says little about the uplink.
      this.#busyMs += Math.min(UPLINK_GAP_MS_MAX, nowMs - this.#countedAtMs)
      this.#bytes += bytes
      this.#countedAtMs = nowMs
      this.#sending--
      this.#learn()
    }
  }

  get width(): UplinkWidth {
    if (!this.#isKnown) return 'unknown'
    return this.bytesPerS < WIDE_BYTES_PER_S ? 'thin' : 'wide'
  }

  /** The bytes that leave this machine each second, or infinitely many while that is not known. */
  get bytesPerS(): number {
    return this.#isKnown && this.#busyMs > 0 ? (this.#bytes * 1000) / this.#busyMs : Number.POSITIVE_INFINITY
  }

  #learn(): void {
    if (!this.#isKnown) {
      // The first bytes to each member fill the window of its stream, and have not left yet.
      const left = this.#bytes - this.#seen.size * STREAM_WINDOW_BYTES
      if (left < SAMPLE_BYTES && this.#busyMs < UPLINK_SAMPLE_MS) return
      this.#isKnown = true
      this.#bytes = Math.max(0, left)
      this.#seen.clear()
    }
    while (this.#busyMs > UPLINK_MEMORY_MS) {
      this.#busyMs /= 2
      this.#bytes /= 2
    }
  }
}
