import { type IndexDb, indexKey } from '../disk/index-db.ts'
import type { IndexSink } from '../disk/index-sink.ts'
import { TABLES } from '../disk/tables.ts'
import type { SomeStatement } from '../format/statement.ts'
import { asBuffer, concatBytes, toHex, u64be } from '../util/bytes.ts'

/** The statements that the log keeps of one grant. */
export interface SignedCount {
  statements: number
  /** The bytes of these statements. */
  bytes: number
}

type Counted = Pick<SomeStatement, 'grant' | 'kind' | 'bytes'>

/**
 * How many statements the log keeps that were signed under each grant, and their bytes, so that quotas can be checked.
 * Statuses do not count, because the log keeps one of each member. The root key signs without a grant and has no quota.
 *
 * There is one row per grant: key `J` ‖ id of the grant (32 bytes), value statements (8) ‖ bytes (8). Nothing is kept in
 * memory that outlives its batch, so a batch may fail. Only one batch may be under way.
 */
export class SignedCounts {
  readonly #index: Pick<IndexDb, 'get'>
  /** The counts as a batch will leave them. A batch may add and remove statements in several calls. */
  readonly #unwritten = new WeakMap<IndexSink, Map<string, SignedCount>>()

  constructor(index: Pick<IndexDb, 'get'>) {
    this.#index = index
  }

  /** Returns the counts of some grants by their ids in hex. */
  async of(grants: readonly Uint8Array[]): Promise<Map<string, SignedCount>> {
    const unique = new Map(grants.map(grant => [toHex(grant), grant]))
    const counts = new Map<string, SignedCount>()
    for (const [name, grant] of unique) counts.set(name, decode(await this.#index.get(keyOf(grant))))
    return counts
  }

  async add(sink: IndexSink, statements: readonly Counted[]): Promise<void> {
    await this.#count(sink, statements, 1)
  }

  async remove(sink: IndexSink, statements: readonly Counted[]): Promise<void> {
    await this.#count(sink, statements, -1)
  }

  async #count(sink: IndexSink, statements: readonly Counted[], sign: 1 | -1): Promise<void> {
    const counted = statements.filter(({ kind, grant }) => kind !== 'status' && grant !== null)
    if (counted.length === 0) return
    const unwritten = this.#unwritten.get(sink) ?? new Map<string, SignedCount>()
    this.#unwritten.set(sink, unwritten)
    for (const [name, own] of Map.groupBy(counted, ({ grant }) => toHex(grant as Uint8Array))) {
      const grant = own[0]?.grant as Uint8Array
      const before = unwritten.get(name) ?? ((await this.of([grant])).get(name) as SignedCount)
      const bytes = own.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
      // A statement that was lost by damage and forgotten since is still counted, so this may never go below zero.
      const after = {
        statements: Math.max(0, before.statements + sign * own.length),
        bytes: Math.max(0, before.bytes + sign * bytes)
      }
      unwritten.set(name, after)
      sink.put(keyOf(grant), concatBytes(u64be(after.statements), u64be(after.bytes)))
    }
  }
}

function keyOf(grant: Uint8Array): Uint8Array {
  return indexKey(TABLES.signedCounts, grant)
}

const BYTES_AT = 8

function decode(value: Uint8Array | undefined): SignedCount {
  if (value === undefined) return { statements: 0, bytes: 0 }
  const row = asBuffer(value)
  return { statements: Number(row.readBigUInt64BE(0)), bytes: Number(row.readBigUInt64BE(BYTES_AT)) }
}
