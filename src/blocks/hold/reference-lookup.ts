import { toHex } from '../../util/bytes.ts'
import type { Claims } from './claims.ts'

/** A record as the claims know it. */
export interface ReferringRecord {
  /** Copies wanted; `Infinity` for every member. */
  replicas: number
  /** Multihash of its root, which may be the block itself. */
  root: Uint8Array
}

/** What needs a block, seen through the manifest nodes between. */
export interface Referrers {
  /** The records that need the block, by their ids (hex). */
  records: ReadonlyMap<string, ReferringRecord>
  /** A put that is still under way needs it too. */
  isInPut: boolean
}

/**
 * Follows claims up from a block to the records at their ends. Remembers what it found of each node, so one of these
 * serves one question: the next asks anew.
 */
export class ReferenceLookup {
  readonly #claims: Pick<Claims, 'owners'>
  readonly #nodes = new Map<string, Promise<Referrers>>()

  constructor(claims: Pick<Claims, 'owners'>) {
    this.#claims = claims
  }

  async of(multihash: Uint8Array): Promise<Referrers> {
    const records = new Map<string, ReferringRecord>()
    let isInPut = false
    for (const owner of await this.#claims.owners(multihash)) {
      if (owner.by === 'record') records.set(toHex(owner.id), { replicas: owner.replicas, root: multihash })
      else if (owner.by === 'put') isInPut = true
      else {
        // A node is named by the hash of what it links to, so the way up has no circles.
        const above = await this.#ofNode(owner.multihash)
        for (const [id, record] of above.records) records.set(id, record)
        isInPut ||= above.isInPut
      }
    }
    return { records, isInPut }
  }

  #ofNode(multihash: Uint8Array): Promise<Referrers> {
    const key = toHex(multihash)
    const known = this.#nodes.get(key)
    if (known !== undefined) return known
    const referrers = this.of(multihash)
    this.#nodes.set(key, referrers)
    return referrers
  }
}

/** The greatest number of copies that any of its records wants: what holds for a block. */
export function copiesWanted({ records }: Referrers): number {
  return Math.max(0, ...[...records.values()].map(({ replicas }) => replicas))
}

/** Equal for equal sets of records. */
export function referrersKey({ records }: Referrers): string {
  return [...records.keys()].sort().join()
}
