import { toHex } from '../util/bytes.ts'
import type { Claims } from './claims.ts'

/** What needs a block, seen through the manifest nodes between. */
export interface Need {
  /** Copies wanted, by the id (hex) of each record that needs the block. */
  replicasByRecord: ReadonlyMap<string, number>
  /** A put that is still under way needs it too. */
  isInPut: boolean
}

/**
 * Follows claims up from a block to the records at their ends. Remembers what it found of each node, so one of these
 * serves one question: the next asks anew.
 */
export class Needs {
  readonly #claims: Pick<Claims, 'owners'>
  readonly #nodes = new Map<string, Promise<Need>>()

  constructor(claims: Pick<Claims, 'owners'>) {
    this.#claims = claims
  }

  async of(multihash: Uint8Array): Promise<Need> {
    const replicasByRecord = new Map<string, number>()
    let isInPut = false
    for (const owner of await this.#claims.owners(multihash)) {
      if (owner.by === 'record') replicasByRecord.set(toHex(owner.id), owner.replicas)
      else if (owner.by === 'put') isInPut = true
      else {
        // A node is named by the hash of what it links to, so the way up has no circles.
        const above = await this.#ofNode(owner.multihash)
        for (const [id, replicas] of above.replicasByRecord) replicasByRecord.set(id, replicas)
        isInPut ||= above.isInPut
      }
    }
    return { replicasByRecord, isInPut }
  }

  #ofNode(multihash: Uint8Array): Promise<Need> {
    const key = toHex(multihash)
    const known = this.#nodes.get(key)
    if (known !== undefined) return known
    const need = this.of(multihash)
    this.#nodes.set(key, need)
    return need
  }
}

/** The greatest number of copies that any of its records wants: what holds for a block. */
export function copiesWanted({ replicasByRecord }: Need): number {
  return Math.max(0, ...replicasByRecord.values())
}

/** Equal for equal sets of records. */
export function needKey({ replicasByRecord }: Need): string {
  return [...replicasByRecord.keys()].sort().join()
}
