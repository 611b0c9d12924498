import type { IndexDb, IndexOp } from '../../disk/index-db.ts'
import { IndexOps, type IndexSink } from '../../disk/index-sink.ts'
import { textOf } from '../rows/keys.ts'

/** The changes of a batch that reads some of its own changes again before it is written. */
export class ChangedRows implements IndexSink {
  readonly #index: Pick<IndexDb, 'get'>
  readonly #ops = new IndexOps()
  readonly #changed = new Map<string, Uint8Array | undefined>()

  constructor(index: Pick<IndexDb, 'get'>) {
    this.#index = index
  }

  get ops(): readonly IndexOp[] {
    return this.#ops.all
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    const text = textOf(key)
    return this.#changed.has(text) ? this.#changed.get(text) : this.#index.get(key)
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#ops.put(key, value)
    this.#changed.set(textOf(key), value)
  }

  del(key: Uint8Array): void {
    this.#ops.del(key)
    this.#changed.set(textOf(key), undefined)
  }

  /** Adds changes of rows that this batch does not read. */
  addAll(ops: Iterable<IndexOp>): void {
    this.#ops.addAll(ops)
  }
}
