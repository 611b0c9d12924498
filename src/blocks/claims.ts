import { hash } from 'node:crypto'
import { ROW_CLAIM } from '../disk/constants.ts'
import { type IndexOp, indexKey } from '../disk/index-db.ts'
import { decodePlace, encodePlace, isSamePlace, type Projector, type Store, type StoredRow } from '../disk/store.ts'
import type { PeerId } from '../format/peer-id.ts'
import { concatBytes, u64be, utf8 } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'

/**
 * Why a block stays. An owner is what needs it: a record that names it as root, a manifest node that links to it, or a
 * put under way, whose claim runs out. Presence rows, never counters: saying one twice is harmless.
 */
export type Owner = { by: 'record'; id: Uint8Array } | { by: 'node'; multihash: Uint8Array } | { by: 'put'; put: PutId }

/** A put, as its writer and its number: 16 bytes that no other writer's put has. */
export type PutId = Uint8Array

const MULTIHASH_BYTES = 34
const PUT_ID_BYTES = 16
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

  /** Claims blocks for a put until `ms` from now; durable when it resolves. */
  async claimForPut(put: PutId, multihashes: readonly Uint8Array[], ms: number): Promise<void> {
    const expires = u64be(Math.floor(this.#clock.now() + ms))
    await this.#store.write(
      ROW_CLAIM,
      multihashes.map(multihash => concatBytes(multihash, put, expires))
    )
  }

  /** The change to the index that lets an owner claim a block; to be written in the batch that makes it an owner. */
  static reference(multihash: Uint8Array, owner: Exclude<Owner, { by: 'put' }>): IndexOp {
    return { type: 'put', key: claimKey(multihash, owner), value: new Uint8Array(0) }
  }

  async add(ops: readonly IndexOp[]): Promise<void> {
    await this.#store.index.batch(ops)
  }

  /** Ends a put's claims on these blocks: something lasting refers to them now, or nothing ever will. */
  async endPut(put: PutId, multihashes: readonly Uint8Array[]): Promise<void> {
    const keys = multihashes.map(multihash => claimKey(multihash, { by: 'put', put }))
    const values = await this.#store.index.getMany(keys)
    const ops: IndexOp[] = []
    const dead = []
    for (const [i, value] of values.entries()) {
      if (value === undefined) continue
      ops.push(
        { type: 'del', key: keys[i] as Uint8Array },
        { type: 'del', key: expiryKey(value.subarray(0, 8), keys[i] as Uint8Array) }
      )
      dead.push(decodePlace(value.subarray(8)))
    }
    await this.#store.index.batch([...ops, ...this.#store.markDead(dead)])
  }

  async hasPut(put: PutId, multihashes: readonly Uint8Array[]): Promise<boolean[]> {
    const values = await this.#store.index.getMany(
      multihashes.map(multihash => claimKey(multihash, { by: 'put', put }))
    )
    return values.map(value => value !== undefined)
  }

  /** Everything that claims a block. */
  async owners(multihash: Uint8Array): Promise<Owner[]> {
    const prefix = indexKey('c', multihash)
    const owners: Owner[] = []
    for await (const { key } of this.#store.index.range(prefix))
      owners.push(decodeOwner(key.subarray(prefix.byteLength)))
    return owners
  }

  async isClaimed(multihash: Uint8Array): Promise<boolean> {
    return this.#store.index.hasAny(indexKey('c', multihash))
  }

  /** True if something that lasts, a record or a node, claims the block. */
  async isReferenced(multihash: Uint8Array): Promise<boolean> {
    return (
      (await this.#store.index.hasAny(indexKey('c', multihash, LETTERS.record))) ||
      (await this.#store.index.hasAny(indexKey('c', multihash, LETTERS.node)))
    )
  }

  /** Puts' claims whose time is over. */
  async *expired(): AsyncGenerator<{ put: PutId; multihash: Uint8Array }> {
    const now = this.#clock.now()
    const table = indexKey('p')
    for await (const { key } of this.#store.index.range(table)) {
      if (Number(Buffer.from(key).readBigUInt64BE(1)) > now) return
      const claim = key.subarray(9)
      const multihash = claim.subarray(1, 1 + MULTIHASH_BYTES)
      yield { multihash, put: claim.subarray(1 + MULTIHASH_BYTES + 1) }
    }
  }

  // A row: multihash (34) ‖ put id (16) ‖ time it ends, milliseconds since the Unix epoch (8).
  #rows(): Projector {
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
      // Claims end all the time, and one that is lost only runs out early; what it protected is found again by a walk.
      isIndexed: async () => true
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
  return indexKey('c', multihash, LETTERS[owner.by], id)
}

function expiryKey(expires: Uint8Array, key: Uint8Array): Uint8Array {
  return indexKey('p', expires, key)
}

function decodeOwner(bytes: Uint8Array): Owner {
  const id = bytes.subarray(1)
  switch (bytes[0]) {
    case LETTERS.record[0]:
      return { by: 'record', id }
    case LETTERS.node[0]:
      return { by: 'node', multihash: id }
    default:
      return { by: 'put', put: id }
  }
}
