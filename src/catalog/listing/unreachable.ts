import type { IndexDb } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import type { Clock } from '../../util/clock.ts'
import { ORPHAN_MS } from '../constants.ts'
import type { Entries } from '../entries.ts'
import { isEnd } from '../rows/cycles.ts'
import { cycleKey, directoryKey, entryOfKey, waitingKey } from '../rows/keys.ts'
import type { TreeNode } from '../tree-node.ts'
import type { NodeBuilder } from './node-builder.ts'

export interface UnreachableOptions {
  index: IndexDb
  clock: Clock
  entries: Entries
  builder: NodeBuilder
}

/**
 * Finds the entries that no directory shows, because their parent is not a directory or has not arrived, or because
 * they are in a cycle. They are shown at `/`, under names that mark them as conflicts, so that they are not lost.
 */
export class Unreachable {
  readonly #options: UnreachableOptions

  constructor(options: UnreachableOptions) {
    this.#options = options
  }

  async *nodes(): AsyncGenerator<TreeNode> {
    const { index, entries } = this.#options
    for await (const { key, value } of index.range(waitingKey())) {
      const parent = entryOfKey(key)
      if (this.#mayStillCome(value) && (await entries.get(parent)) === undefined) continue
      for await (const row of index.range(directoryKey(TABLES.children, parent)))
        yield* this.#nodesOf(entryOfKey(row.key))
    }
    for await (const { key, value } of index.range(cycleKey())) if (isEnd(value)) yield* this.#nodesOf(entryOfKey(key))
  }

  /**
   * Returns true while an unknown parent may still arrive. The value of its row is the time since which it has been
   * unknown.
   */
  #mayStillCome(value: Uint8Array): boolean {
    const sinceMs = Number(Buffer.from(value).readBigUInt64BE())
    return this.#options.clock.now() - sinceMs < ORPHAN_MS
  }

  async *#nodesOf(id: Uint8Array): AsyncGenerator<TreeNode> {
    const { entries, builder } = this.#options
    const found = await entries.get(id)
    if (found === undefined || found.row.isHidden) return
    if (found.row.kind === 'file') yield* await builder.ofUnreachableFile(id)
    else yield builder.ofUnreachableDirectory(id)
  }
}
