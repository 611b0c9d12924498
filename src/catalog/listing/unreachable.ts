import type { IndexDb } from '../../disk/index-db.ts'
import type { Clock } from '../../util/clock.ts'
import { ORPHAN_MS } from '../constants.ts'
import type { Entries } from '../entries.ts'
import { Reachability } from '../reachability.ts'
import { cycleKey, DIRECTORY_TABLES, directoryKey, entryOfKey, waitingKey } from '../rows/keys.ts'
import type { TreeNode } from '../tree-node.ts'
import type { NameGroups } from './name-groups.ts'
import type { NodeBuilder } from './node-builder.ts'

export interface UnreachableOptions {
  index: IndexDb
  clock: Clock
  entries: Entries
  groups: NameGroups
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
    const { index } = this.#options
    const reachability = new Reachability(index)
    for await (const { key, value } of index.range(waitingKey())) {
      const parent = entryOfKey(key)
      if (this.#mayStillCome(value) && !(await reachability.isKnown(parent))) continue
      for (const table of DIRECTORY_TABLES)
        for await (const row of index.range(directoryKey(table, parent))) yield* this.#nodesOf(entryOfKey(row.key))
    }
    for await (const { key } of index.range(cycleKey())) {
      const entry = entryOfKey(key)
      if (await reachability.endsCycle(entry)) yield* this.#nodesOf(entry)
    }
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
    const { entries, groups, builder } = this.#options
    const found = await entries.get(id)
    if (found === undefined) return
    if (found.row.kind === 'file') yield* await builder.ofUnreachableFile(id)
    else if (!found.shown.isDeleted || (await groups.hasLiveBelow(id))) yield builder.ofUnreachableDirectory(id)
  }
}
