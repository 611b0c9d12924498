import { ENTRY_ID_BYTES, type EntryBody, type EntryRecord } from '../../format/entry.ts'
import type { Path } from '../../format/path.ts'
import type { Content, Placement, VersionEnd } from '../author.ts'
import type { Records } from '../change.ts'
import { ChangedError, NotADirectoryError } from '../errors.ts'
import { rootNode } from '../tree.ts'
import type { DirectoryNode, FileNode, TreeNode } from '../tree-node.ts'
import type { ChangeContext } from './context.ts'
import { type FoundEntry, isAt, type Parent, parentIn } from './found.ts'
import { DIRECTORY_MOVES, entryLock, nameLock } from './locks.ts'
import { Lookups } from './lookups.ts'

/**
 * The most times that a change is planned. The first plan finds its locks, and the second sees the results of the
 * changes that held them. More are needed only if the entries at its paths change again.
 */
const ATTEMPTS_MAX = 16

export interface RemoveInit {
  covered?: readonly EntryRecord[] | undefined
  ends?: VersionEnd | undefined
  removal?: Uint8Array | undefined
}

export interface Outcome<T> {
  /** The return value of the plan. */
  value: T
  /** The records that were appended. */
  records: Records
  /** Returns those of a part. */
  recordsOf: (part: SigningRange) => Records
}

/** A range of the signings of a plan, from index `from` to before index `to`. */
export interface SigningRange {
  from: number
  to: number
}

/** A part of a plan that may fail alone, and what its work returned. */
export type Part<T> = SigningRange & ({ value: T } | { error: unknown })

/**
 * Runs one change of the tree. `plan` reads through the transaction, checks what it finds, and says what to sign; it
 * has no other effect, because it may run several times. Everything that it said is then signed and appended at once.
 *
 * Promises, for changes of this member that run at the same time, and for records that arrive from others meanwhile:
 *
 * - A change succeeds or fails only because of what it read under lock, or while nobody else had the lock. It needs the
 *   locks of the last name of each path, and of each entry that it signs a record about. A plan that read something
 *   without its lock is run again, from the names, with the locks that were missing. So only ids and names outlive the
 *   wait for a lock. Nothing else that was read does.
 * - Everything that a plan found under names was there at one moment (`Lookups`), whatever arrives during the look-ups.
 * - A record covers exactly the heads of the row that the checks looked at, because it is signed from that row, which
 *   is read once. A record that arrives after this is not covered: it stays a head, and shows as a conflict if its
 *   content differs.
 * - Two changes of this member never sign about one entry, or give out the same name in one directory, at the same
 *   time. The outcome is as if one had come after the other.
 * - A plan appends all of its records or none. The signal ends it only before it is planned.
 *
 * The directories on the way to a name are not locked. A file is put into the directory that was at its path when the
 * lock of the name was held; if that directory is moved or deleted meanwhile, the file moves along with it, or the
 * directory shows again, as if the put had come first.
 */
export async function transact<T>(
  context: ChangeContext,
  plan: (tx: Transaction) => Promise<T>,
  signal?: AbortSignal
): Promise<Outcome<T>> {
  const { locks, log } = context
  const keys = new Set<string>()
  for (let count = 1; count <= ATTEMPTS_MAX; count++) {
    signal?.throwIfAborted()
    const tx = new Transaction(context)
    const outcome = await locks.hold(keys, async () => {
      const since = locks.now
      const planned = await tx.plan(plan)
      const missing = [...tx.wanted].filter(key => !keys.has(key))
      // Usually no other change wanted these locks. Then the plan is as good as one that was made while these locks
      // were held.
      return planned === undefined || !locks.wereFree(missing, since)
        ? undefined
        : locks.hold(missing, () => tx.commit(planned))
    })
    if (outcome !== undefined) return outcome
    // The next plan may not need these locks any more: a change that wanted to make a directory finds it if another has
    // just made it. So a change that meets another for the first time only waits for it. If it kept the locks, many puts
    // into a new directory would follow one another, each with a write to the disk of its own.
    if (count === 1) await locks.hold(tx.wanted, async () => {})
    else for (const key of tx.wanted) keys.add(key)
    log.trace('attempt %d of a change met another change, and is repeated', count)
  }
  throw new ChangedError('the entry at this path keeps changing: try again')
}

/** The result of a plan: its value, or the error with which it ended. */
type Planned<T> = { value: T } | { error: unknown }

/** One attempt of a change. See `transact`. */
export class Transaction {
  readonly #context: ChangeContext
  /** The keys of the locks that cover everything the plan has read. */
  readonly wanted = new Set<string>()
  /** True if something changed between two reads that belong together. */
  #isTorn = false
  readonly #names: Lookups
  readonly #signings: Array<() => Records> = []

  constructor(context: ChangeContext) {
    this.#context = context
    this.#names = new Lookups(context.tree)
  }

  /** Runs the plan. Returns undefined if the reads are not of one moment. */
  async plan<T>(plan: (tx: Transaction) => Promise<T>): Promise<Planned<T> | undefined> {
    const planned = await plan(this).then<Planned<T>, Planned<T>>(
      value => ({ value }),
      (error: unknown) => ({ error })
    )
    return !this.#isTorn && (await this.#names.areOfOneMoment()) ? planned : undefined
  }

  /** Signs and appends the records of the plan, or throws its error. The caller holds all of its locks. */
  async commit<T>(planned: Planned<T>): Promise<Outcome<T>> {
    if ('error' in planned) throw planned.error
    const signed = this.#signings.map(sign => sign())
    const records = await this.#context.append(signed.flat())
    return { value: planned.value, records, recordsOf: ({ from, to }) => signed.slice(from, to).flat() }
  }

  /** Runs a part of the plan. If it throws, it signs nothing, and the rest of the plan goes on. */
  async part<T>(work: () => Promise<T>): Promise<Part<T>> {
    const from = this.#signings.length
    try {
      const value = await work()
      return { from, to: this.#signings.length, value }
    } catch (error) {
      this.#signings.length = from
      return { from, to: from, error }
    }
  }

  /** Allows one move of a directory at a time, because two that are moved into each other would make a cycle. */
  lockDirectoryMoves(): void {
    this.wanted.add(DIRECTORY_MOVES)
  }

  /**
   * Returns the node at a path, and the directory that shows it; undefined if there is none. Throws a
   * `NotADirectoryError` if a file is on the way.
   */
  async resolve(path: Path): Promise<{ node: TreeNode; parent: DirectoryNode } | undefined> {
    let parent = rootNode()
    for (const name of path.slice(0, -1)) {
      const child = await this.#names.child(parent, name)
      if (child?.kind === 'directory') {
        parent = child
        continue
      }
      this.#wantName(parent, name)
      if (child === undefined) return undefined
      throw new NotADirectoryError('a part of this path is a file, not a directory')
    }
    const name = path.at(-1)
    if (name === undefined) return { node: parent, parent }
    const node = await this.child(parent, name)
    return node === undefined ? undefined : { node, parent }
  }

  /** Returns the node that a directory shows under a name, or undefined. A directory that is being made has none. */
  async child(parent: DirectoryNode | undefined, name: string): Promise<TreeNode | undefined> {
    if (parent === undefined) return undefined
    this.#wantName(parent, name)
    const node = await this.#names.child(parent, name)
    // The row of the entry was read after that of its name, and may place the entry elsewhere.
    if (node?.kind === 'file' && !isAt(parent, node, node)) throw this.#torn()
    return node
  }

  /** Returns an entry by its id; undefined if no record of it counts. */
  async entry(id: Uint8Array): Promise<FoundEntry | undefined> {
    this.wanted.add(entryLock(id))
    const found = await this.#context.tree.entry(id)
    return found === undefined ? undefined : { id, ...found }
  }

  /** Returns the entries of a directory node. If one of them is no longer at its place, the plan is run again. */
  async entriesOf(node: DirectoryNode, parent: DirectoryNode): Promise<FoundEntry[]> {
    const entries: FoundEntry[] = []
    for (const id of node.ids) {
      const found = await this.entry(id)
      if (found === undefined || !isAt(parent, node, found)) throw this.#torn()
      entries.push(found)
    }
    return entries
  }

  /** Returns those of the rivals and twins of a file that still have its name in its directory. */
  async rivalsOf(
    node: FileNode,
    parent: DirectoryNode,
    ids: readonly Uint8Array[] = [...node.rivals, ...node.twins]
  ): Promise<FoundEntry[]> {
    const files: FoundEntry[] = []
    for (const id of ids) {
      const found = await this.entry(id)
      if (found !== undefined && isAt(parent, node, found)) files.push(found)
    }
    return files
  }

  /**
   * Returns the directory at a path. Missing directories are made together with the rest of the change. Throws a
   * `NotADirectoryError` if a file is in the way.
   */
  async parent(path: Path, replicas: number): Promise<Parent> {
    let node = rootNode()
    for (const [depth, name] of path.entries()) {
      const child = await this.#names.child(node, name)
      if (child?.kind === 'directory') {
        node = child
        continue
      }
      this.#wantName(node, name)
      if (child !== undefined) throw new NotADirectoryError('a file is where a directory should be')
      return { id: this.#makeDirectories(node, path.slice(depth), replicas), node: undefined }
    }
    return parentIn(node)
  }

  /** Signs the first record of an entry that continues another one, and returns its id. */
  continueAs(body: EntryBody, carried: EntryRecord, at: Placement): Uint8Array {
    const id = this.#newId()
    const continued = { ...body, ...at, continues: carried.entry }
    this.#signings.push(() => [this.#context.author.create(id, continued, carried)])
    return id
  }

  createFile(at: Placement, content: Content, replicas: number): void {
    const id = this.#newId()
    this.#signings.push(() => [this.#context.author.createFile(id, at, content, replicas)])
  }

  /** Adds records about an entry that this transaction has found. `sign` is called when the plan is committed. */
  change({ id }: Pick<FoundEntry, 'id'>, sign: () => Records): void {
    this.wanted.add(entryLock(id))
    this.#signings.push(sign)
  }

  /**
   * Deletes some heads of an entry; by default all, so that the entry is deleted. `ends` says what this does to its
   * versions, besides.
   */
  async remove(found: FoundEntry, { covered, ends, removal }: RemoveInit = {}): Promise<void> {
    const { author, bodies } = this.#context
    const { state } = found.row
    const body = found.row.kind === 'directory' ? await bodies.open(found.shown.place) : undefined
    this.change(found, () => author.delete(state, { covered: covered ?? state.heads, body, ends, removal }))
  }

  #torn(): ChangedError {
    this.#isTorn = true
    return new ChangedError('the entry at this path has changed: try again')
  }

  #wantName(parent: DirectoryNode, name: string): void {
    for (const id of parent.ids) this.wanted.add(nameLock(id, name))
  }

  /** Makes the directories of `path` below `base`, each in the one before it. Returns the id of the last. */
  #makeDirectories(base: DirectoryNode, path: Path, replicas: number): Uint8Array {
    const { author, clock } = this.#context
    let parent = base.ids[0] as Uint8Array
    for (const name of path) {
      const [id, at] = [this.#newId(), { parent, name }]
      this.#signings.push(() => [author.createDirectory(id, at, Math.floor(clock.now()), replicas)])
      parent = id
    }
    return parent
  }

  #newId(): Uint8Array {
    return this.#context.chance.bytes(ENTRY_ID_BYTES)
  }
}
