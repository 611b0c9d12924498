import { type IndexDb, indexKey } from '../disk/index-db.ts'
import { TABLES } from '../disk/tables.ts'
import type { PeerId } from '../format/peer-id.ts'
import { asBuffer, concatBytes, equalBytes, u64be, utf8 } from '../util/bytes.ts'
import { LINEAGE_BYTES } from './constants.ts'
import type { StatementClass } from './keys.ts'
import type { Position } from './positions.ts'

/**
 * For each other member, the position up to which this member has taken its statements: everything that the other
 * accepted before the cursor is durable here, or was refused for good. The cursors are part of the index. If the index
 * is rebuilt, they are gone, and everything is compared again.
 */
export class Cursors {
  readonly #index: Pick<IndexDb, 'get' | 'batch'>

  constructor(index: Pick<IndexDb, 'get' | 'batch'>) {
    this.#index = index
  }

  /** Returns undefined if this member has never taken everything of that class that the other member had. */
  async get(peer: PeerId, statementClass: StatementClass): Promise<Position | undefined> {
    const value = await this.#index.get(cursorKey(peer, statementClass))
    if (value === undefined) return undefined
    const lineage = Uint8Array.from(value.subarray(0, LINEAGE_BYTES))
    return { lineage, sequence: Number(asBuffer(value).readBigUInt64BE(LINEAGE_BYTES)) }
  }

  /**
   * Call this once everything before the position is in the index. Batches of the index are written one after another,
   * so a cursor never outlives the statements that it stands for.
   */
  async set(peer: PeerId, statementClass: StatementClass, { lineage, sequence }: Position): Promise<void> {
    const key = cursorKey(peer, statementClass)
    const value = concatBytes(lineage, u64be(sequence))
    const before = await this.#index.get(key)
    // Most comparisons bring nothing new.
    if (before === undefined || !equalBytes(before, value)) await this.#index.batch([{ type: 'put', key, value }])
  }
}

function cursorKey(peer: PeerId, statementClass: StatementClass): Uint8Array {
  return indexKey(TABLES.cursors, Uint8Array.of(statementClass), utf8(peer))
}
