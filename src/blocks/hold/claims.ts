import { MULTIHASH_BYTES, ROW_CLAIM } from '../../disk/constants.ts'
import { type IndexDb, type IndexOp, indexKey } from '../../disk/index-db.ts'
import { decodePlace, encodePlace, isSamePlace } from '../../disk/place.ts'
import type { RowProjection } from '../../disk/row-projection.ts'
import type { Store } from '../../disk/store.ts'
import { TABLES } from '../../disk/tables.ts'
import { type PeerId, publicKeyOf } from '../../format/peer-id.ts'
import { encodeReplicas } from '../../format/replicas.ts'
import { forgottenKey } from '../../log/log.ts'
import { concatBytes, equalBytes, NO_BYTES, u32be, u64be } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { CLAIM_SLACK_MS } from '../constants.ts'
import type { RecordRef } from '../record-ref.ts'
import {
  type Claimant,
  claimKey,
  decodeClaimant,
  expiryKey,
  expiryOf,
  LETTERS,
  type PutId,
  parseRow,
  timeOfExpiry
} from './claim-rows.ts'

export { type Claimant, type PutId, type RecordClaimant, timeOfExpiry } from './claim-rows.ts'

/** The put on whose behalf a block is kept, and for how long at least. */
export interface PutClaim {
  put: PutId
  claimMs: number
}

export interface ExpiredClaim {
  put: PutId
  multihash: Uint8Array
  /**
   * When the claim expired, in the form that the index key has: milliseconds since the Unix epoch, 64 bits, big-endian.
   */
  expires: Uint8Array
}

/** Returns the key of the row that says that a record has been released, unless the log has forgotten it since. */
export function releasedKey(id: Uint8Array): Uint8Array {
  return indexKey(TABLES.released, id)
}

/**
 * Returns true if a record has been released. A record that the log has forgotten was released before, and has no row that
 * says so.
 */
export async function isReleased(index: Pick<IndexDb, 'has'>, id: Uint8Array): Promise<boolean> {
  return (await index.has(releasedKey(id))) || index.has(forgottenKey(id))
}

/**
 * Scopes the number of a put to its writer, so that no writer can touch another's put, and so that each claim says on
 * whose behalf a block is kept.
 */
export function putIdOf(writer: PeerId, number: Uint8Array): PutId {
  return concatBytes(publicKeyOf(writer), number)
}

/**
 * The table of claims. The claims of records and manifest nodes follow from the log, and are rebuilt with the index.
 * The claims of puts are durable rows of their own, since a keeper's promise must survive a power cut.
 */
export class Claims {
  readonly #store: Store
  readonly #clock: Clock

  constructor(store: Store, clock: Clock) {
    this.#store = store
    this.#clock = clock
    store.register(ROW_CLAIM, this.#rows())
  }

  /**
   * Claims blocks for a put for at least `claimMs` from now, by the wall clock. The claims are durable when this
   * resolves. A claim that already lasts that long costs no write.
   */
  async claimForPut(put: PutId, multihashes: readonly Uint8Array[], claimMs: number): Promise<void> {
    const untilAtMs = Math.floor(this.#clock.now()) + claimMs
    const values = await this.#putValues(put, multihashes)
    const tooShort = multihashes.filter((_, i) => expiryOf(values[i]) < untilAtMs)
    if (tooShort.length === 0) return
    const expires = u64be(untilAtMs + CLAIM_SLACK_MS)
    await this.#store.write(
      ROW_CLAIM,
      tooShort.map(multihash => concatBytes(multihash, put, expires))
    )
  }

  /**
   * Returns the index change by which a record or a node claims a block. It must go into the batch that adds the
   * claimant.
   */
  static reference(multihash: Uint8Array, claimant: Exclude<Claimant, { by: 'put' }>): IndexOp {
    const value = claimant.by === 'record' ? u32be(encodeReplicas(claimant.replicas)) : NO_BYTES
    return { type: 'put', key: claimKey(multihash, claimant), value }
  }

  /** Writes index changes that `reference` returned. */
  async add(ops: readonly IndexOp[]): Promise<void> {
    await this.#store.index.batch(ops)
  }

  /**
   * Returns the changes that end a put's claims on these blocks. Use them once a record or a node claims the blocks
   * instead.
   */
  async endOps(put: PutId, multihashes: readonly Uint8Array[]): Promise<IndexOp[]> {
    const values = await this.#putValues(put, multihashes)
    return multihashes.flatMap((multihash, i) => {
      const value = values[i]
      return value === undefined ? [] : this.#endOne(claimKey(multihash, { by: 'put', put }), value)
    })
  }

  /**
   * Ends one claim if it expired before `beforeMs`. It reads the claim again, since it may have been renewed or ended
   * after it was found. The caller must hold the block's lock, as renewals do. `endedOps` are made in the same batch if
   * the claim ends. Throws an `IndexCorruptError`, and reports it, if the index has lost the claim: it may have lost the
   * other claims on the block too.
   */
  async endExpired(
    { put, multihash, expires }: ExpiredClaim,
    beforeMs: number,
    endedOps: readonly IndexOp[] = []
  ): Promise<void> {
    const key = claimKey(multihash, { by: 'put', put })
    const [value, mark] = await this.#store.index.getMany([key, expiryKey(expires, key)])
    if (value === undefined) {
      if (mark === undefined) return
      throw this.#store.index.reportCorrupt('the index lacks a claim of a put')
    }
    const isOver = expiryOf(value) < beforeMs
    await this.#store.index.batch([
      { type: 'del', key: expiryKey(expires, key) },
      ...(isOver ? [...this.#endOne(key, value), ...endedOps] : [])
    ])
  }

  /**
   * Returns, for each of these blocks, whether the put claims it now. A claim that has expired counts for nothing, even
   * if no sweep has removed it yet: a machine that slept past its claims must not answer for the blocks. With
   * `evenExpired` it counts, as it does for our own puts while they are under way, since no sweep ends their claims. With
   * `forMs`, a claim counts if it lasts that much longer.
   */
  async hasPut(
    put: PutId,
    multihashes: readonly Uint8Array[],
    { evenExpired = false, forMs = 0 } = {}
  ): Promise<boolean[]> {
    const afterMs = evenExpired ? 0 : this.#clock.now() + forMs
    return (await this.#putValues(put, multihashes)).map(value => expiryOf(value) > afterMs)
  }

  /** Decodes a row of the table of claims, whose key is given without the letter of the table. */
  static decode(key: Uint8Array, value: Uint8Array): { multihash: Uint8Array; claimant: Claimant } {
    return {
      multihash: key.subarray(0, MULTIHASH_BYTES),
      claimant: decodeClaimant(key.subarray(MULTIHASH_BYTES), value)
    }
  }

  /** Yields everything that claims a block. */
  async *claimants(multihash: Uint8Array): AsyncGenerator<Claimant> {
    const prefix = indexKey(TABLES.claims, multihash)
    for await (const { key, value } of this.#store.index.range(prefix))
      yield decodeClaimant(key.subarray(prefix.byteLength), value)
  }

  /**
   * Returns, for each of these blocks, whether the manifest node that links to it claims it. The root, to which no node
   * links, is claimed by its record.
   */
  async hasReferences(
    blocks: ReadonlyArray<{ cid: { multihash: { bytes: Uint8Array } }; parent: Uint8Array | null }>
  ): Promise<boolean[]> {
    const keys = blocks.flatMap(({ cid, parent }) =>
      parent === null ? [] : [claimKey(cid.multihash.bytes, { by: 'node', multihash: parent })]
    )
    const values = (await this.#store.index.getMany(keys)).values()
    return blocks.map(({ parent }) => parent === null || values.next().value !== undefined)
  }

  async isClaimed(multihash: Uint8Array): Promise<boolean> {
    return this.#store.index.hasAny(indexKey(TABLES.claims, multihash))
  }

  /** Returns true if a record claims its root. It must do so from the moment that it exists: see `reference`. */
  hasRecord({ id, root }: Pick<RecordRef, 'id' | 'root'>): Promise<boolean> {
    return this.#store.index.has(claimKey(root.multihash.bytes, { by: 'record', id, replicas: 0 }))
  }

  /** Returns true if a record no longer needs its content, so that it claims nothing. See `recordReleaseOps`. */
  isReleased({ id }: Pick<RecordRef, 'id'>): Promise<boolean> {
    return isReleased(this.#store.index, id)
  }

  /** Returns true if a record or a manifest node claims the block. */
  async isReferenced(multihash: Uint8Array): Promise<boolean> {
    return (
      (await this.#store.index.hasAny(indexKey(TABLES.claims, multihash, LETTERS.record))) ||
      (await this.#store.index.hasAny(indexKey(TABLES.claims, multihash, LETTERS.node)))
    )
  }

  /** Yields the claims of puts that expired before `beforeMs`, oldest first. */
  async *expired(beforeMs: number): AsyncGenerator<ExpiredClaim> {
    const table = indexKey(TABLES.expiries)
    for await (const { key } of this.#store.index.range(table)) {
      const expires = key.subarray(1, 9)
      if (timeOfExpiry(expires) >= beforeMs) return
      const claim = key.subarray(9)
      const multihash = claim.subarray(1, 1 + MULTIHASH_BYTES)
      yield { multihash, put: claim.subarray(1 + MULTIHASH_BYTES + 1), expires }
    }
  }

  #putValues(put: PutId, multihashes: readonly Uint8Array[]): Promise<Array<Uint8Array | undefined>> {
    return this.#store.index.getMany(multihashes.map(multihash => claimKey(multihash, { by: 'put', put })))
  }

  #endOne(key: Uint8Array, value: Uint8Array): IndexOp[] {
    return [
      { type: 'del', key },
      { type: 'del', key: expiryKey(value.subarray(0, 8), key) },
      ...this.#store.markDead([decodePlace(value.subarray(8))])
    ]
  }

  // A row: multihash (34) ‖ put id (48) ‖ time it ends, milliseconds since the Unix epoch (8).
  #rows(): RowProjection {
    const { index } = this.#store
    return {
      project: async rows => {
        const claims = rows.map(parseRow)
        const previous = await index.getMany(claims.map(({ key }) => key))
        // A replay may bring a claim and its renewal in one batch.
        const latest = new Map<string, Uint8Array>()
        const ops: IndexOp[] = []
        const dead = []
        for (const [i, { key, expires, place }] of claims.entries()) {
          const name = Buffer.from(key).toString('latin1')
          const old = latest.get(name) ?? previous[i]
          const value = concatBytes(expires, encodePlace(place))
          latest.set(name, value)
          if (old !== undefined && !isSamePlace(decodePlace(old.subarray(8)), place)) {
            ops.push({ type: 'del', key: expiryKey(old.subarray(0, 8), key) })
            dead.push(decodePlace(old.subarray(8)))
          }
          ops.push({ type: 'put', key, value }, { type: 'put', key: expiryKey(expires, key), value: NO_BYTES })
        }
        await index.batch([...ops, ...this.#store.markDead(dead)])
      },
      isLive: async row => {
        const { key, place } = parseRow(row)
        const value = await index.get(key)
        return value !== undefined && isSamePlace(decodePlace(value.subarray(8)), place)
      },
      // A claim that has ended leaves no row, so a claim counts as ended if both of its rows are missing. Nothing
      // relies on that until every claim of that time has expired: SPEC.md, "Freeing".
      isIndexed: async row => {
        const { key, expires } = parseRow(row)
        const [value, mark] = await index.getMany([key, expiryKey(expires, key)])
        if (value === undefined) return mark === undefined
        return mark !== undefined || !equalBytes(value.subarray(0, 8), expires)
      }
    }
  }
}
