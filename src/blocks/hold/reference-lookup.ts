import { toHex } from '../../util/bytes.ts'
import { REFERENCES_MAX } from '../constants.ts'
import type { Claims } from './claims.ts'

/** A record that needs a block, with what the claims say about the record. */
export interface ReferringRecord {
  /** The number of copies wanted; `Infinity` for every member. */
  replicas: number
  /** The multihash of its root, which may be the block that was looked up. */
  root: Uint8Array
}

/** The records and puts that need a block, directly or through the manifest nodes above it. */
export interface Referrers {
  /** The records that need the block, by their ids (hex). */
  records: ReadonlyMap<string, ReferringRecord>
  /** True if a put that is still under way needs the block too. */
  isInPut: boolean
  /** True if more claims lead up from the block than were followed. Then there may be other records and puts. */
  isCut: boolean
}

/**
 * Follows claims from a block up to the records that need it. It remembers what it found for each manifest node, and
 * claims may change, so use a new instance for each question.
 */
export class ReferenceLookup {
  readonly #claims: Pick<Claims, 'claimants'>
  readonly #nodes = new Map<string, Promise<Referrers>>()

  constructor(claims: Pick<Claims, 'claimants'>) {
    this.#claims = claims
  }

  of(multihash: Uint8Array): Promise<Referrers> {
    return this.#follow(multihash, { claims: REFERENCES_MAX })
  }

  /** Follows claims until `left` is used up. */
  async #follow(multihash: Uint8Array, left: { claims: number }): Promise<Referrers> {
    const records = new Map<string, ReferringRecord>()
    let isInPut = false
    for await (const claimant of this.#claims.claimants(multihash)) {
      if (left.claims-- <= 0) return { records, isInPut, isCut: true }
      if (claimant.by === 'record') records.set(toHex(claimant.id), { replicas: claimant.replicas, root: multihash })
      else if (claimant.by === 'put') isInPut = true
      else {
        // A node's name is a hash over the names of the blocks that it links to, so there can be no cycle on the way
        // up.
        const above = await this.#followNode(claimant.multihash, left)
        for (const [id, record] of above.records) records.set(id, record)
        isInPut ||= above.isInPut
        if (above.isCut) return { records, isInPut, isCut: true }
      }
    }
    return { records, isInPut, isCut: false }
  }

  #followNode(multihash: Uint8Array, left: { claims: number }): Promise<Referrers> {
    const key = toHex(multihash)
    const known = this.#nodes.get(key)
    if (known !== undefined) return known
    const referrers = this.#follow(multihash, left)
    this.#nodes.set(key, referrers)
    return referrers
  }
}

/** Returns the number of copies that a block needs: the greatest number that any of its records wants. */
export function copiesWanted({ records }: Referrers): number {
  let most = 0
  for (const { replicas } of records.values()) most = Math.max(most, replicas)
  return most
}

/** Returns the same text for equal sets of records. */
export function referrersKey({ records }: Referrers): string {
  return [...records.keys()].sort().join()
}
