import { type PeerId, publicKeyOf } from '../../format/peer-id.ts'
import { equalBytes, toHex } from '../../util/bytes.ts'
import { type Claims, type PutId, timeOfExpiry } from '../hold/claims.ts'
import { CLAIM_GRACE_MS } from './constants.ts'

export interface PutEndsOptions {
  self: PeerId
  claims: Pick<Claims, 'expired'>
  /** Returns true if a put of this member is under way, or may still take blocks under its number. */
  isUnderWay: (put: PutId) => boolean
  /** Returns true if the writer of a put has said that it has ended without a record. */
  isGivenUp: (put: PutId) => boolean
}

/** Until when the claims of puts last here, by the wall clock. Null if there are none. */
export interface PutsUntil {
  /** Those of puts that are over. */
  overAtMs: number | null
  /** Those of all others. A put of another member may be over without this member knowing. */
  othersAtMs: number | null
}

/**
 * Knows which puts are over. A put of this member is over if it is not under way and no put that begins now can share
 * its number. A put of another member is over if its writer has said so.
 */
export class PutEnds {
  readonly #options: PutEndsOptions

  constructor(options: PutEndsOptions) {
    this.#options = options
  }

  isOver(put: PutId): boolean {
    const { self, isUnderWay, isGivenUp } = this.#options
    const key = publicKeyOf(self)
    return equalBytes(put.subarray(0, key.byteLength), key) ? !isUnderWay(put) : isGivenUp(put)
  }

  /** Returns the puts (hex) that are over and still claim blocks here. */
  async over(signal: AbortSignal): Promise<Set<string>> {
    const over = new Set<string>()
    for await (const { put } of this.#options.claims.expired(Number.POSITIVE_INFINITY)) {
      signal.throwIfAborted()
      if (this.isOver(put)) over.add(toHex(put))
    }
    return over
  }

  async until(signal?: AbortSignal): Promise<PutsUntil> {
    const until: PutsUntil = { overAtMs: null, othersAtMs: null }
    for await (const { put, expires } of this.#options.claims.expired(Number.POSITIVE_INFINITY)) {
      signal?.throwIfAborted()
      // The claims come in the order in which they run out.
      until[this.isOver(put) ? 'overAtMs' : 'othersAtMs'] = timeOfExpiry(expires) + CLAIM_GRACE_MS
    }
    return until
  }
}
