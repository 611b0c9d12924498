import type { IndexDb } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { ROOT_ENTRY } from '../../format/entry.ts'
import type { Clock } from '../../util/clock.ts'
import type { Bodies } from '../bodies.ts'
import { ORPHAN_MS } from '../constants.ts'
import type { Entries } from '../entries.ts'
import { conflictName, type Substitute } from '../names.ts'
import { endsCycle, isEnd } from '../rows/cycles.ts'
import { cycleKey, directoryKey, entryOfKey, waitingKey } from '../rows/keys.ts'
import type { TreeNode } from '../tree-node.ts'
import type { NameGroups } from './name-groups.ts'
import type { NodeBuilder } from './node-builder.ts'

export interface UnreachableOptions {
  index: IndexDb
  clock: Clock
  entries: Entries
  bodies: Pick<Bodies, 'entryWith' | 'isSealed'>
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
    for await (const { key, value } of index.range(waitingKey())) {
      const parent = entryOfKey(key)
      if (!(await this.#hasWaited(parent, value))) continue
      for await (const row of index.range(directoryKey(TABLES.children, parent)))
        yield* await this.#nodesOf(entryOfKey(row.key))
    }
    for await (const { key, value } of index.range(cycleKey()))
      if (isEnd(value)) yield* await this.#nodesOf(entryOfKey(key))
  }

  /** Returns the nodes of the entry whose nodes may have this name, if it is unreachable. */
  async candidates({ digits }: Substitute): Promise<TreeNode[]> {
    const id = await this.#options.bodies.entryWith(digits)
    return id !== undefined && (await this.#isUnreachable(id)) ? this.#nodesOf(id) : []
  }

  /** Returns true if no directory shows an entry, although there has been time for its parent to arrive. */
  async #isUnreachable(id: Uint8Array): Promise<boolean> {
    const { index, entries } = this.#options
    const found = await entries.get(id)
    if (found === undefined || found.row.name === undefined || found.row.isHidden) return false
    if (await endsCycle(index, id)) return true
    const since = await index.get(waitingKey(found.row.parent))
    return since !== undefined && this.#hasWaited(found.row.parent, since)
  }

  /**
   * Returns false while an unknown parent may still arrive, or a sealed one may still open. The value of its row is the
   * time since which it has been unknown.
   */
  async #hasWaited(parent: Uint8Array, value: Uint8Array): Promise<boolean> {
    const { clock, entries, bodies } = this.#options
    const found = await entries.get(parent)
    if (found !== undefined && !found.row.isSealed) return true
    // Once its key is here, it is about to open: see `SealedEntries`.
    if (found !== undefined && !bodies.isSealed(found.shown.place)) return false
    const sinceMs = Number(Buffer.from(value).readBigUInt64BE())
    return clock.now() - sinceMs >= ORPHAN_MS
  }

  /**
   * Returns the nodes of an entry. Each name contains a whole id, of the entry or of one of its versions, so it can be
   * found by its digits, and no other entry that comes or goes changes it.
   */
  async #nodesOf(id: Uint8Array): Promise<TreeNode[]> {
    const { entries, groups, builder } = this.#options
    const found = await entries.get(id)
    const name = found === undefined ? undefined : await groups.nameOf(id, found.row)
    if (found === undefined || name === undefined) return []
    const unnamed =
      found.row.kind === 'file' ? await builder.ofUnreachableFile(id) : [builder.ofUnreachableDirectory(id)]
    const nodes: TreeNode[] = []
    for (const { node, tag = id } of unnamed) {
      const own = conflictName(name, tag, 2 * tag.byteLength)
      // An entry of `/` that has this very name comes first.
      if (!(await groups.has([ROOT_ENTRY], own))) nodes.push({ ...node, path: [own] })
    }
    return nodes
  }
}
