import type { Database } from '../../../src/disk/index-db.ts'
import type { Chance } from '../../../src/util/chance.ts'

type Op = { type: 'put'; key: Uint8Array; value: Uint8Array } | { type: 'del'; key: Uint8Array }
/** The rows that an iterator reads, as LevelDB takes it. */
interface Range {
  gte?: Uint8Array
  gt?: Uint8Array
  lt: Uint8Array
  limit?: number
  reverse?: boolean
}

export interface Row {
  key: Uint8Array
  value: Uint8Array
}
interface Batch {
  ops: readonly Op[]
  /** The earlier values of the keys, in the order of `ops`. */
  before: Array<Row | undefined>
}

/** The rows of an index on a disk. They are sorted, and they remember what a power cut may undo. */
export class SimRows {
  readonly #rows = new Map<string, Row>()
  #keys: string[] = []
  #unsynced: Batch[] = []
  #changes = 0

  /** The number of batches so far. If it is the same before and after a look, what the look saw is still true. */
  get changes(): number {
    return this.#changes
  }

  get size(): number {
    return this.#keys.length
  }

  get bytes(): number {
    let total = 0
    for (const { key, value } of this.#rows.values()) total += key.byteLength + value.byteLength
    return total
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#rows.get(textOf(key))?.value
  }

  apply(ops: readonly Op[]): void {
    this.#changes++
    this.#unsynced.push({ ops, before: ops.map(({ key }) => this.#rows.get(textOf(key))) })
    for (const op of ops) this.#set(op.key, op.type === 'put' ? op : undefined)
  }

  sync(): void {
    this.#unsynced = []
  }

  /**
   * Cuts the power: all synced batches survive, and some of the others. LevelDB may also lose the end of an earlier log
   * although batches of the next one are there.
   */
  powerCut(chance: Chance): void {
    const lost = this.#unsynced
    this.#unsynced = []
    for (const { ops, before } of lost.toReversed())
      for (let i = ops.length - 1; i >= 0; i--) this.#set((ops[i] as Op).key, before[i])
    const end = Math.floor(chance.fraction() * (lost.length + 1))
    const holeFrom = chance.fraction() < 0.15 ? Math.floor(chance.fraction() * end) : end
    const holeUntil = holeFrom + Math.ceil(chance.fraction() * (end - holeFrom))
    for (const [i, { ops }] of lost.entries())
      if (i < end && (i < holeFrom || i >= holeUntil))
        for (const op of ops) this.#set(op.key, op.type === 'put' ? op : undefined)
  }

  /** Returns a copy of all rows, as a backup has them. */
  copy(): SimRows {
    const rows = new SimRows()
    for (const [text, row] of this.#rows) rows.#rows.set(text, row)
    rows.#keys = [...this.#keys]
    return rows
  }

  /** Returns the rows of a table, by the letter of the table. */
  table(letter: string): Row[] {
    return this.between({ gte: Buffer.from(letter, 'latin1'), lt: Buffer.from([letter.charCodeAt(0) + 1]) })
  }

  clear(): void {
    this.#rows.clear()
    this.#keys = []
    this.#unsynced = []
  }

  /** Loses some rows, as LevelDB does after a flipped bit: without a word. Returns the letters of their tables. */
  lose(chance: Chance, count: number): string {
    let tables = ''
    for (let i = 0; i < count && this.#keys.length > 0; i++) {
      const { key } = this.#pick(chance)
      tables += String.fromCharCode(key[0] as number)
      this.#set(key, undefined)
    }
    return tables
  }

  /** Flips a bit in the value of a row. */
  flip(chance: Chance): void {
    if (this.#keys.length === 0) return
    const { key, value } = this.#pick(chance)
    if (value.byteLength === 0) return
    const changed = Buffer.from(value)
    const at = Math.floor(chance.fraction() * changed.byteLength)
    changed[at] = (changed[at] as number) ^ (1 << Math.floor(chance.fraction() * 8))
    this.#set(key, { key, value: changed })
  }

  between(from: Range): Row[] {
    const { gte, gt, lt, limit = -1, reverse = false } = from
    const first = gt === undefined ? this.#place(textOf(gte ?? new Uint8Array(0))) : this.#place(`${textOf(gt)}\0`)
    const rows: Row[] = []
    const end = textOf(lt)
    if (reverse) {
      for (let i = this.#place(end) - 1; i >= first && rows.length !== limit; i--)
        rows.push(this.#rows.get(this.#keys[i] as string) as Row)
      return rows
    }
    for (let i = first; i < this.#keys.length && rows.length !== limit; i++) {
      const key = this.#keys[i] as string
      if (key >= end) break
      rows.push(this.#rows.get(key) as Row)
    }
    return rows
  }

  #pick(chance: Chance): Row {
    return this.#rows.get(this.#keys[Math.floor(chance.fraction() * this.#keys.length)] as string) as Row
  }

  #set(key: Uint8Array, row: Row | undefined): void {
    const text = textOf(key)
    const isThere = this.#rows.has(text)
    if (row === undefined) {
      if (!isThere) return
      this.#rows.delete(text)
      this.#keys.splice(this.#place(text), 1)
    } else {
      this.#rows.set(text, { key: row.key, value: row.value })
      if (!isThere) this.#keys.splice(this.#place(text), 0, text)
    }
  }

  /** Returns the number of keys below this one. */
  #place(text: string): number {
    let low = 0
    let high = this.#keys.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#keys[middle] as string) < text) low = middle + 1
      else high = middle
    }
    return low
  }
}

export interface SimDatabaseInit {
  rows: SimRows
  /** Called before each operation that waits. It may throw, and it may never resolve. */
  operation: (name: 'read' | 'batch', bytes: number) => Promise<void>
}

/** The part of `abstract-level` that the index uses, for one process, over rows that outlive it. */
export class SimDatabase {
  readonly #init: SimDatabaseInit
  status = 'closed'

  constructor(init: SimDatabaseInit) {
    this.#init = init
  }

  get asDatabase(): Database {
    return this as unknown as Database
  }

  async open(): Promise<void> {
    await this.#init.operation('read', 0)
    this.status = 'open'
  }

  async close(): Promise<void> {
    await this.#init.operation('read', 0)
    this.status = 'closed'
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen()
    return this.#init.rows.get(key)
  }

  async getMany(keys: Uint8Array[]): Promise<Array<Uint8Array | undefined>> {
    await this.#init.operation('read', 0)
    return keys.map(key => this.getSync(key))
  }

  async batch(ops: readonly Op[], { sync = false }: { sync?: boolean } = {}): Promise<void> {
    this.#assertOpen()
    const copies = ops.map(copy)
    await this.#init.operation(
      'batch',
      copies.reduce((sum, op) => sum + op.key.byteLength + (op.type === 'put' ? op.value.byteLength : 0), 0)
    )
    this.#assertOpen()
    this.#init.rows.apply(copies)
    if (sync) {
      await this.#init.operation('read', 0)
      this.#init.rows.sync()
    }
  }

  async compactRange(): Promise<void> {
    this.#assertOpen()
    await this.#init.operation('read', 0)
    this.#init.rows.sync()
  }

  iterator(range: Range) {
    this.#assertOpen()
    const rows = this.#init.rows.between(range)
    return {
      nextv: async (count: number) => {
        await this.#init.operation('read', 0)
        this.#assertOpen()
        return rows.splice(0, count).map(({ key, value }) => [key, value])
      },
      close: async () => {}
    }
  }

  #assertOpen(): void {
    if (this.status !== 'open') throw Object.assign(new Error('not open'), { code: 'LEVEL_DATABASE_NOT_OPEN' })
  }
}

function copy(op: Op): Op {
  const key = Buffer.from(op.key)
  return op.type === 'put' ? { type: 'put', key, value: Buffer.from(op.value) } : { type: 'del', key }
}

function textOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
}
