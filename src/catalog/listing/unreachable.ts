import type { IndexDb } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { ENTRY_ID_BYTES, ROOT_ENTRY } from '../../format/entry.ts'
import { STATEMENT_ID_BYTES } from '../../format/statement.ts'
import { equalBytes, fromHex } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import type { Bodies } from '../bodies.ts'
import { ORPHAN_MS, TAG_DIGITS, TAG_DIGITS_MORE } from '../constants.ts'
import type { Entries } from '../entries.ts'
import type { Substitute } from '../names.ts'
import { endsCycle, isEnd } from '../rows/cycles.ts'
import { cycleKey, directoryKey, entryKey, entryOfKey, waitingKey } from '../rows/keys.ts'
import type { TreeNode } from '../tree-node.ts'
import type { NameGroups } from './name-groups.ts'
import { freeName, type NodeBuilder } from './node-builder.ts'

export interface UnreachableOptions {
  index: IndexDb
  clock: Clock
  entries: Entries
  bodies: Pick<Bodies, 'entryOf' | 'isSealed'>
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
    const [id] = await this.#ids(digits)
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
   * Returns the nodes of an entry. No other entry's id begins with the digits in its name. The name contains the whole
   * id if `/` has an entry of the same name, because the versions of that entry may have any digits. The name of each
   * version also contains a whole id. So each of these names can be found by its digits, and does not depend on other
   * unreachable entries.
   */
  async #nodesOf(id: Uint8Array): Promise<TreeNode[]> {
    const { entries, groups, builder } = this.#options
    const found = await entries.get(id)
    const name = found === undefined ? undefined : await groups.nameOf(id, found.row)
    if (found === undefined || name === undefined) return []
    const unnamed =
      found.row.kind === 'file' ? await builder.ofUnreachableFile(id) : [builder.ofUnreachableDirectory(id)]
    const mayBeShort = !(await groups.has([ROOT_ENTRY], name))
    const nodes: TreeNode[] = []
    for (const { node, tag = id } of unnamed) {
      const own = await freeName(name, tag, async (taken, digits) => {
        const isWhole = digits.length === 2 * tag.byteLength
        const isFound = isWhole || (equalBytes(tag, id) && mayBeShort && (await this.#ids(digits)).length === 1)
        return !isFound || groups.has([ROOT_ENTRY], taken)
      })
      if (own !== undefined) nodes.push({ ...node, path: [own] })
    }
    return nodes
  }

  /**
   * Returns the ids of the entries that these digits may stand for: at most two, so that the caller can tell whether
   * there is exactly one.
   */
  async #ids(digits: string): Promise<Uint8Array[]> {
    const { index, bodies } = this.#options
    const ids: Uint8Array[] = []
    if (digits.length === 2 * STATEMENT_ID_BYTES) {
      const entry = await bodies.entryOf(fromHex(digits))
      return entry === undefined ? [] : [entry]
    }
    if (![TAG_DIGITS, TAG_DIGITS_MORE, 2 * ENTRY_ID_BYTES].includes(digits.length)) return []
    for await (const { key } of index.range(entryKey(fromHex(digits)), { limit: 2 })) ids.push(key.subarray(1))
    return ids
  }
}
