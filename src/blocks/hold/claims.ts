import { hash } from 'node:crypto'
import { ROW_CLAIM } from '../../disk/constants.ts'
import { type IndexOp, indexKey } from '../../disk/index-db.ts'
import { decodePlace, encodePlace, isSamePlace } from '../../disk/place.ts'
import type { RowProjection, StoredRow } from '../../disk/row-projection.ts'
import type { Store } from '../../disk/store.ts'
import { TABLES } from '../../disk/tables.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { concatBytes, equalBytes, u32be, u64be, utf8 } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { CLAIM_SLACK_MS } from '../constants.ts'

/**
 * Why a block stays. An owner is what needs it: a record that names it as root, a manifest node that links to it, or a
 * put under way, whose claim runs out. Presence rows, never counters: saying one twice is harmless.
 */
export type Owner = RecordOwner | { by: 'node'; multihash: Uint8Array } | { by: 'put'; put: PutId }

export interface RecordOwner {
  by: 'record'
  /** Id of the record. */
  id: Uint8Array
  /** Copies it wants; `Infinity` for every member. */
  replicas: number
}

/** A put, as its writer and its number: 16 bytes that no other writer's put has. */
export type PutId = Uint8Array

export interface ExpiredClaim {
  put: PutId
  multihash: Uint8Array
  /** When it ran out, as the index orders it: milliseconds since the Unix epoch, 64 bits. */
  expires: Uint8Array
}

const MULTIHASH_BYTES = 34
const PUT_ID_BYTES = 16
const NOTHING = new Uint8Array(0)
/** How a record that wants a copy on every member says so. */
const ALL = 0
const LETTERS = { record: utf8('r'), node: utf8('m'), put: utf8('p') } as const

/** Scopes the number that a writer gave its put to that writer, so that nobody meets another's. */
export function putIdOf(writer: PeerId, number: Uint8Array): PutId {
  return hash('sha256', concatBytes(utf8(writer), number), 'buffer').subarray(0, PUT_ID_BYTES)
}

/**
 * The table of claims. Those of records and nodes follow from the log and are made again with the index; those of puts
 * are durable rows of their own, since a keeper's word must outlive a power cut.
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
   * Claims blocks for a put until at least `ms` from now; durable when it resolves. Costs no write where the put's claim
   * lasts that long already.
   */
  async claimForPut(put: PutId, multihashes: readonly Uint8Array[], ms: number): Promise<void> {
    const until = Math.floor(this.#clock.now()) + ms
    const values = await this.#putValues(put, multihashes)
    const short = multihashes.filter((_, i) => expiryOf(values[i]) < until)
    if (short.length === 0) return
    const expires = u64be(until + CLAIM_SLACK_MS)
    await this.#store.write(
      ROW_CLAIM,
      short.map(multihash => concatBytes(multihash, put, expires))
    )
  }

  /** The change to the index that lets an owner claim a block; to be written in the batch that makes it an owner. */
  static reference(multihash: Uint8Array, owner: Exclude<Owner, { by: 'put' }>): IndexOp {
    const value = owner.by === 'record' ? u32be(Number.isFinite(owner.replicas) ? owner.replicas : ALL) : NOTHING
    return { type: 'put', key: claimKey(multihash, owner), value }
  }

  async add(ops: readonly IndexOp[]): Promise<void> {
    await this.#store.index.batch(ops)
  }

  /** The changes that end a put's claims on these blocks: something lasting refers to them now. */
  async endOps(put: PutId, multihashes: readonly Uint8Array[]): Promise<IndexOp[]> {
    const values = await this.#putValues(put, multihashes)
    return multihashes.flatMap((multihash, i) => {
      const value = values[i]
      return value === undefined ? [] : this.#endOne(claimKey(multihash, { by: 'put', put }), value)
    })
  }

  /**
   * Ends one claim if it ran out before `before`; it may have been renewed since it was found. To be called under the
   * block's lock, which renewals hold too.
   */
  async endExpired({ put, multihash, expires }: ExpiredClaim, before: number): Promise<void> {
    const key = claimKey(multihash, { by: 'put', put })
    const value = await this.#store.index.get(key)
    const isOver = value !== undefined && expiryOf(value) < before
    await this.#store.index.batch([
      { type: 'del', key: expiryKey(expires, key) },
      ...(isOver ? this.#endOne(key, value) : [])
    ])
  }

  /** For each block, whether the put claims it. */
  async hasPut(put: PutId, multihashes: readonly Uint8Array[]): Promise<boolean[]> {
    return (await this.#putValues(put, multihashes)).map(value => value !== undefined)
  }

  /** Everything that claims a block. */
  async owners(multihash: Uint8Array): Promise<Owner[]> {
    const prefix = indexKey(TABLES.claims, multihash)
    const owners: Owner[] = []
    for await (const { key, value } of this.#store.index.range(prefix))
      owners.push(decodeOwner(key.subarray(prefix.byteLength), value))
    return owners
  }

  async isClaimed(multihash: Uint8Array): Promise<boolean> {
    return this.#store.index.hasAny(indexKey(TABLES.claims, multihash))
  }

  /** True if something that lasts, a record or a node, claims the block. */
  async isReferenced(multihash: Uint8Array): Promise<boolean> {
    return (
      (await this.#store.index.hasAny(indexKey(TABLES.claims, multihash, LETTERS.record))) ||
      (await this.#store.index.hasAny(indexKey(TABLES.claims, multihash, LETTERS.node)))
    )
  }

  /** Claims of puts that ran out before `before`, the oldest first. */
  async *expired(before: number): AsyncGenerator<ExpiredClaim> {
    const table = indexKey(TABLES.expiries)
    for await (const { key } of this.#store.index.range(table)) {
      const expires = key.subarray(1, 9)
      if (Number(Buffer.from(expires).readBigUInt64BE()) >= before) return
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

  // A row: multihash (34) ‖ put id (16) ‖ time it ends, milliseconds since the Unix epoch (8).
  #rows(): RowProjection {
    const { index } = this.#store
    return {
      project: async rows => {
        const claims = rows.map(parseRow)
        const before = await index.getMany(claims.map(({ key }) => key))
        const ops: IndexOp[] = []
        const dead = []
        for (const [i, { key, expires, place }] of claims.entries()) {
          const old = before[i]
          if (old !== undefined && !isSamePlace(decodePlace(old.subarray(8)), place)) {
            ops.push({ type: 'del', key: expiryKey(old.subarray(0, 8), key) })
            dead.push(decodePlace(old.subarray(8)))
          }
          ops.push(
            { type: 'put', key, value: concatBytes(expires, encodePlace(place)) },
            { type: 'put', key: expiryKey(expires, key), value: new Uint8Array(0) }
          )
        }
        await index.batch([...ops, ...this.#store.markDead(dead)])
      },
      isLive: async row => {
        const { key, place } = parseRow(row)
        const value = await index.get(key)
        return value !== undefined && isSamePlace(decodePlace(value.subarray(8)), place)
      },
      // A claim that is not in the table has ended, for all that can be told: nothing is left of those that did. One that
      // is there is to run out some day; its two rows are written and removed together.
      isIndexed: async row => {
        const { key, expires } = parseRow(row)
        const [value, mark] = await index.getMany([key, expiryKey(expires, key)])
        return value === undefined || mark !== undefined || !equalBytes(value.subarray(0, 8), expires)
      }
    }
  }
}

function parseRow({ payload, place }: StoredRow): { key: Uint8Array; expires: Uint8Array; place: StoredRow['place'] } {
  const multihash = payload.subarray(0, MULTIHASH_BYTES)
  const put = payload.subarray(MULTIHASH_BYTES, MULTIHASH_BYTES + PUT_ID_BYTES)
  return {
    key: claimKey(multihash, { by: 'put', put }),
    expires: payload.subarray(MULTIHASH_BYTES + PUT_ID_BYTES),
    place
  }
}

function claimKey(multihash: Uint8Array, owner: Owner): Uint8Array {
  const id = owner.by === 'record' ? owner.id : owner.by === 'node' ? owner.multihash : owner.put
  return indexKey(TABLES.claims, multihash, LETTERS[owner.by], id)
}

function expiryKey(expires: Uint8Array, key: Uint8Array): Uint8Array {
  return indexKey(TABLES.expiries, expires, key)
}

function expiryOf(value: Uint8Array | undefined): number {
  return value === undefined ? 0 : Number(Buffer.from(value.subarray(0, 8)).readBigUInt64BE())
}

function decodeOwner(bytes: Uint8Array, value: Uint8Array): Owner {
  const id = bytes.subarray(1)
  switch (bytes[0]) {
    case LETTERS.record[0]:
      return { by: 'record', id, replicas: Buffer.from(value).readUInt32BE() || Number.POSITIVE_INFINITY }
    case LETTERS.node[0]:
      return { by: 'node', multihash: id }
    default:
      return { by: 'put', put: id }
  }
}
