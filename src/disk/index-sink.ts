import type { IndexOp } from './index-db.ts'

/** Takes the changes of one batch of the index, in order. If a key is given twice, its last change wins. */
export interface IndexSink {
  put(key: Uint8Array, value: Uint8Array): void
  del(key: Uint8Array): void
}

/**
 * Collects the changes of one batch. There may be more of them than a call can have arguments, so they are added one by
 * one and never spread.
 */
export class IndexOps implements IndexSink {
  readonly all: IndexOp[] = []

  put(key: Uint8Array, value: Uint8Array): void {
    this.all.push({ type: 'put', key, value })
  }

  del(key: Uint8Array): void {
    this.all.push({ type: 'del', key })
  }

  addAll(ops: Iterable<IndexOp>): void {
    for (const op of ops) this.all.push(op)
  }
}
