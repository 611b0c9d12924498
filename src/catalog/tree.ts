import type { IndexDb } from '../disk/index-db.ts'
import { TABLES } from '../disk/tables.ts'
import { type EntryBody, type EntryRecord, ROOT_ENTRY } from '../format/entry.ts'
import type { Path } from '../format/path.ts'
import { compareBytes, equalBytes, toHex, utf8 } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { OverLimitError } from '../util/errors.ts'
import type { Bodies } from './bodies.ts'
import { LIST_BATCH, LIST_MAX, ORPHAN_MS } from './constants.ts'
import { decodeEntryRow, type EntryRow } from './entry-row.ts'
import { NotADirectoryError } from './errors.ts'
import { type Shown, showEntry } from './heads.ts'
import {
  cycleKey,
  DIRECTORY_TABLES,
  type DirectoryValue,
  decodeDirectoryValue,
  directoryKey,
  entryKey,
  entryOfKey,
  nameKeyOf,
  waitingKey
} from './keys.ts'
import { type PlacedEntry, underName } from './name-rows.ts'
import { conflictName, isConflictName, type Names } from './names.ts'
import { shownName } from './projection.ts'
import { Reachability } from './reachability.ts'

/** A directory at a path: one entry, or several of one name that show as one. */
export interface DirectoryNode {
  kind: 'directory'
  path: Path
  /** Never empty; the root's is `ROOT_ENTRY` alone. */
  ids: Uint8Array[]
  /** Milliseconds since the Unix epoch; 0 for the root. */
  mtime: number
  isConflict: boolean
}

/** A file at a path, in the version that shows there. */
export interface FileNode {
  kind: 'file'
  path: Path
  id: Uint8Array
  row: EntryRow
  shown: Shown
  /** The record whose content this is. */
  record: EntryRecord
  /** Undefined if the record does not open: there is a file, and this node cannot read it. */
  body: EntryBody | undefined
  isConflict: boolean
  /** Other files of the same name, which show as conflicts beside it. */
  rivals: Uint8Array[]
}

export type TreeNode = DirectoryNode | FileNode

export interface TreeOptions {
  index: IndexDb
  bodies: Bodies
  names: Names
  clock: Clock
  depthOf: (epoch: Uint8Array) => number
  /** False while no directory has ever been deleted: then none is looked for. */
  hasDeleted: () => boolean
}

/** A row of a directory: an entry that stands there. */
interface Child extends DirectoryValue {
  entry: Uint8Array
}

/** Everything of one name in one directory. */
interface Group {
  directories: Child[]
  files: Child[]
}

/** The tree as paths and listings show it. Reads only. */
export class Tree {
  readonly #options: TreeOptions

  constructor(options: TreeOptions) {
    this.#options = options
  }

  /** What is at a path, or undefined. Throws a `NotADirectoryError` if a part above the last is a file. */
  async resolve(path: Path): Promise<TreeNode | undefined> {
    let node: TreeNode = rootNode()
    for (const name of path) {
      if (node.kind === 'file') throw new NotADirectoryError('a part of this path is a file, not a directory')
      const child: TreeNode | undefined = await this.child(node, name)
      if (child === undefined) return undefined
      node = child
    }
    return node
  }

  /** What a directory shows under a name, or undefined. */
  async child(parent: DirectoryNode, name: string): Promise<TreeNode | undefined> {
    const { index, names } = this.#options
    const hash = names.hash(name)
    const reach = new Reachability(index)
    const group: Group = { directories: [], files: [] }
    for (const id of parent.ids)
      for (const placed of await underName(index, id, hash)) await this.#join(group, placed, reach)
    const [node] = await this.#showGroup(group, parent.path)
    if (node !== undefined) return node
    if (!isConflictName(name)) return undefined
    for await (const node of this.list(parent)) if (node.path.at(-1) === name) return node
    return undefined
  }

  /** What a directory shows, in the order of the names' bytes. */
  async *list(directory: DirectoryNode): AsyncGenerator<TreeNode> {
    const nodes: TreeNode[] = []
    const groups = await this.#groups(directory.ids)
    for (let start = 0; start < groups.length; start += LIST_BATCH) {
      const some = groups.slice(start, start + LIST_BATCH)
      for (const shown of await Promise.all(some.map(group => this.#showGroup(group, directory.path))))
        nodes.push(...shown)
    }
    if (directory.path.length === 0) {
      for await (const node of this.#strays()) {
        nodes.push(node)
        assertListable(nodes.length)
      }
    }
    const keyed = nodes.map(node => ({ node, name: utf8(node.path.at(-1) as string) }))
    keyed.sort((a, b) => compareBytes(a.name, b.name))
    for (const { node } of keyed) yield node
  }

  /** A file's entry as it stands, by its id; undefined if there is none, or it is deleted. */
  async entry(id: Uint8Array): Promise<{ row: EntryRow; shown: Shown } | undefined> {
    const value = await this.#options.index.get(entryKey(id))
    if (value === undefined) return undefined
    const row = decodeEntryRow(value)
    return { row, shown: showEntry(row.state, this.#options.depthOf) }
  }

  /** What was placed directly below one entry, and shows there. */
  async *childrenOf(directory: Uint8Array): AsyncGenerator<{ id: Uint8Array; name: string }> {
    const { index } = this.#options
    const reach = new Reachability(index)
    for await (const { key } of index.range(directoryKey(TABLES.children, directory))) {
      const id = entryOfKey(key)
      if (await reach.endsCycle(id)) continue
      const body = await this.#placeBody(id)
      if (body !== undefined) yield { id, name: body.name }
    }
  }

  /** Files that stand, counted. */
  async countFiles(): Promise<number> {
    let count = 0
    for await (const { value } of this.#options.index.range(directoryTable)) {
      if (decodeDirectoryValue(value).kind === 'file') count++
    }
    return count
  }

  /** What stands in some directories that show as one, name by name. */
  async #groups(parents: readonly Uint8Array[]): Promise<Group[]> {
    const groups = new Map<string, Group>()
    const reach = new Reachability(this.#options.index)
    let count = 0
    for (const parent of parents) {
      for (const table of this.#options.hasDeleted() ? DIRECTORY_TABLES : [TABLES.children]) {
        for await (const { key, value } of this.#options.index.range(directoryKey(table, parent))) {
          const name = toHex(nameKeyOf(key).subarray(1 + parent.byteLength))
          const group = groups.get(name) ?? { directories: [], files: [] }
          groups.set(name, group)
          if (await this.#join(group, { table, entry: entryOfKey(key), value }, reach)) assertListable(++count)
        }
      }
    }
    return [...groups.values()]
  }

  /** Adds what stands under a name to the others that do, if it shows there; gives whether it does. */
  async #join(group: Group, { table, entry, value }: PlacedEntry, reach: Reachability): Promise<boolean> {
    if (table === TABLES.deletedDirectories && !(await this.#hasLife(entry))) return false
    const child = { ...decodeDirectoryValue(value), entry }
    // It is at `/` instead. Below itself it would be without end.
    if (child.kind === 'directory' && (await reach.endsCycle(entry))) return false
    if (child.kind === 'directory') group.directories.push(child)
    else group.files.push(child)
    return true
  }

  /** The nodes that a name gives: a directory, or else a file, under the name itself; the rest as conflicts. */
  async #showGroup({ directories, files }: Group, parent: Path): Promise<TreeNode[]> {
    const nodes: TreeNode[] = []
    files.sort(byClaimToName)
    if (directories.length > 0) {
      const ids = directories.map(({ entry }) => entry).sort(compareBytes)
      const bodies = await Promise.all(ids.map(id => this.#placeBody(id)))
      const name = shownName(bodies[0], ids[0] as Uint8Array)
      const mtime = Math.max(...bodies.map(body => body?.mtime ?? 0))
      nodes.push({ kind: 'directory', path: [...parent, name], ids, mtime, isConflict: false })
    }
    for (const [i, { entry }] of files.entries()) {
      const rivals = i === 0 ? files.slice(1).map(other => other.entry) : []
      nodes.push(...(await this.#showFile(entry, parent, { isFirst: nodes.length === 0, rivals })))
    }
    return nodes
  }

  /** A file and its conflict versions. */
  async #showFile(
    id: Uint8Array,
    parent: Path,
    { isFirst, rivals }: { isFirst: boolean; rivals: Uint8Array[] }
  ): Promise<FileNode[]> {
    const { bodies } = this.#options
    const found = await this.entry(id)
    if (found === undefined) return []
    const { row, shown } = found
    if (shown.content === undefined) return []
    const name = shownName(await bodies.open(shown.place), id)
    const own = isFirst ? name : conflictName(name, id)
    const contents = [shown.content, ...shown.conflicts]
    return Promise.all(
      contents.map(async (record, i): Promise<FileNode> => {
        const body = await bodies.open(record)
        return {
          kind: 'file',
          path: [...parent, i === 0 ? own : conflictName(name, record.id)],
          id,
          row,
          shown,
          record,
          body,
          isConflict: i > 0 || !isFirst || row.isDamaged || body === undefined,
          rivals: i === 0 ? rivals : []
        }
      })
    )
  }

  /** What no directory shows, and must not be lost sight of: it is at `/`, under a name that says so. */
  async *#strays(): AsyncGenerator<TreeNode> {
    const { index, clock } = this.#options
    const reach = new Reachability(index)
    for await (const { key, value } of index.range(waitingKey())) {
      const parent = entryOfKey(key)
      const since = Number(Buffer.from(value).readBigUInt64BE())
      if (clock.now() - since < ORPHAN_MS && !(await reach.isKnown(parent))) continue
      for (const table of DIRECTORY_TABLES)
        for await (const row of index.range(directoryKey(table, parent))) yield* this.#showStray(entryOfKey(row.key))
    }
    for await (const { key } of index.range(cycleKey())) {
      const entry = entryOfKey(key)
      if (await reach.endsCycle(entry)) yield* this.#showStray(entry)
    }
  }

  async *#showStray(id: Uint8Array): AsyncGenerator<TreeNode> {
    const found = await this.entry(id)
    if (found === undefined) return
    const { row, shown } = found
    if (row.kind === 'file') {
      yield* await this.#showFile(id, [], { isFirst: false, rivals: [] })
      return
    }
    if (shown.isDeleted && !(await this.#hasLife(id))) return
    const body = await this.#placeBody(id)
    const name = conflictName(shownName(body, id), id)
    yield { kind: 'directory', path: [name], ids: [id], mtime: body?.mtime ?? 0, isConflict: true }
  }

  /** True if something that is not deleted is below a directory. */
  async #hasLife(directory: Uint8Array): Promise<boolean> {
    const { index } = this.#options
    // Each once, since deleted directories may be in a cycle too. What is found while the loop runs comes last.
    const below = new Map([[toHex(directory), directory]])
    for (const at of below.values()) {
      if (await index.hasAny(directoryKey(TABLES.children, at))) return true
      for await (const { key } of index.range(directoryKey(TABLES.deletedDirectories, at))) {
        const entry = entryOfKey(key)
        below.set(toHex(entry), entry)
      }
    }
    return false
  }

  async #placeBody(id: Uint8Array): Promise<EntryBody | undefined> {
    const found = await this.entry(id)
    return found === undefined ? undefined : this.#options.bodies.open(found.shown.place)
  }
}

export function rootNode(): DirectoryNode {
  return { kind: 'directory', path: [], ids: [ROOT_ENTRY], mtime: 0, isConflict: false }
}

function assertListable(count: number): void {
  if (count > LIST_MAX) throw new OverLimitError(`a directory with more than ${LIST_MAX} entries is not listed`)
}

const directoryTable = directoryKey(TABLES.children, new Uint8Array(0))

// What cannot be read yields to what can; then the one moved there last keeps the name.
function byClaimToName(a: Child, b: Child): number {
  if (a.isDamaged !== b.isDamaged) return a.isDamaged ? 1 : -1
  return compareBytes(b.placed, a.placed) || (equalBytes(a.entry, b.entry) ? 0 : compareBytes(a.entry, b.entry))
}
