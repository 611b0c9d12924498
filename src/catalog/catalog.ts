import { ENTRY_ID_BYTES, type EntryBody } from '../format/entry.ts'
import { formatPath, type Path } from '../format/path.ts'
import type { Statement } from '../format/statement.ts'
import type { Log } from '../log/log.ts'
import type { LocalMember } from '../members/local-member.ts'
import { toHex } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { InvalidInputError } from '../util/errors.ts'
import { KeyedLocks } from '../util/locks.ts'
import { type Author, type Content, isPastTooLong, type Placement } from './author.ts'
import type { Bodies } from './bodies.ts'
import { tagOfContent } from './content-tag.ts'
import type { EntryRow } from './entry-row.ts'
import {
  ChangedError,
  DamagedEntryError,
  ExistsError,
  IsADirectoryError,
  NotADirectoryError,
  NotFoundError
} from './errors.ts'
import type { Shown } from './heads.ts'
import { type DirectoryNode, type FileNode, rootNode, type Tree, type TreeNode } from './tree.ts'

export interface CatalogOptions {
  log: Pick<Log, 'append'>
  tree: Tree
  bodies: Bodies
  author: Author
  self: LocalMember
  clock: Clock
  chance: Chance
  /** Throws if this member may not write now. */
  assertMayWrite: () => void
}

export interface LinkOptions {
  /** Copies wanted; `REPLICAS_ALL` for every member. */
  replicas: number
  noClobber?: boolean | undefined
  /** The content that must be there now; null: there must be none. */
  ifTag?: string | null | undefined
}

/** What a verb changed. All of it is durable here; the caller hands it on. */
export interface Change {
  /** The path as it is now, in NFC. */
  path: Path
  /** The record that did it. */
  record: Statement<'entry'>
  /** All that were signed, that one among them: directories made on the way come first. */
  statements: Array<Statement<'entry'>>
}

/** How often a verb starts again because what it rests on was changed under it. */
const ATTEMPTS_MAX = 8
/** Entries deleted by one append. */
const DELETE_BATCH = 256

/** The verbs that change the tree. Each is one record an entry, durable in the log before it shows. */
export class Catalog {
  readonly #options: CatalogOptions
  readonly #locks = new KeyedLocks()

  constructor(options: CatalogOptions) {
    this.#options = options
  }

  /** Throws what `link` would throw now, before anything is stored for it. */
  async checkLink(path: Path, options: Pick<LinkOptions, 'noClobber' | 'ifTag'>): Promise<void> {
    this.#options.assertMayWrite()
    if (path.length === 0) throw new IsADirectoryError('this path is a directory')
    checkTarget(await this.#options.tree.resolve(path), options)
  }

  /** Makes content stand at a path: in the file that is there, or in a new one. */
  async link(path: Path, content: Content, options: LinkOptions): Promise<Change> {
    this.#options.assertMayWrite()
    if (path.length === 0) throw new IsADirectoryError('this path is a directory')
    const made: Array<Statement<'entry'>> = []
    return this.#attempt(async () => {
      const records = await this.#lockPaths([path], async () => {
        const parent = await this.#directory(path.slice(0, -1))
        if (parent === undefined) return undefined
        const node = await this.#options.tree.child(parent, path.at(-1) as string)
        checkTarget(node, options)
        return node === undefined
          ? this.#append([this.#createFile(parent, path, content, options.replicas)])
          : this.#rewrite(node as FileNode, content, options.replicas)
      })
      if (records !== undefined)
        return { path, record: records.at(-1) as Statement<'entry'>, statements: [...made, ...records] }
      // Most files are put into directories that are there: those are made only once one is missed.
      made.push(...(await this.#ensureDirectory(path.slice(0, -1), options.replicas)))
      return undefined
    })
  }

  /** Makes a directory, and those above it. */
  async mkdir(path: Path, replicas: number): Promise<{ path: Path; statements: Array<Statement<'entry'>> }> {
    this.#options.assertMayWrite()
    return { path, statements: await this.#ensureDirectory(path, replicas) }
  }

  /** Moves what is at a path to a place that is free, or where a file may be replaced. Directories merge with none. */
  async move(
    from: Path,
    to: Path,
    options: { noClobber?: boolean | undefined; replicas: number }
  ): Promise<{ path: Path; statements: Array<Statement<'entry'>> }> {
    this.#options.assertMayWrite()
    if (from.length === 0) throw new InvalidInputError('the root directory cannot be moved')
    if (formatPath(to).startsWith(`${formatPath(from)}/`)) {
      throw new InvalidInputError('a directory cannot be moved into itself')
    }
    return this.#attempt(async () => {
      const { tree } = this.#options
      const made = await this.#ensureDirectory(to.slice(0, -1), options.replicas)
      const isDirectory = (await tree.resolve(from))?.kind === 'directory'
      return this.#lockMove([from, to], isDirectory, async () => {
        const node = await tree.resolve(from)
        if (node === undefined) throw new NotFoundError('nothing is at this path')
        if ((node.kind === 'directory') !== isDirectory) return undefined
        refuseVersion(node)
        const parent = await this.#directory(to.slice(0, -1))
        if (parent === undefined) return undefined
        const target = await tree.child(parent, to.at(-1) as string)
        if (target !== undefined && formatPath(target.path) === formatPath(node.path))
          return { path: to, statements: made }
        if (target !== undefined) checkReplace(node, target, options.noClobber === true)
        const replaced = target?.kind === 'file' ? [target.id, ...target.rivals] : []
        const at = { parent: parent.ids[0] as Uint8Array, name: to.at(-1) as string }
        const moved = node.kind === 'directory' ? node.ids : [node.id]
        return this.#lockFamilies(moved, replaced, async () => {
          const records: Array<Statement<'entry'>> = []
          for (const id of moved) records.push(...(await this.#moveEntry(id, at)))
          for (const id of replaced) records.push(...(await this.#deleteEntry(id)))
          return { path: to, statements: [...made, ...(await this.#append(records))] }
        })
      })
    })
  }

  /** Deletes a file, or with `recursive` a directory and all below it. What cannot be read can still be deleted. */
  async remove(
    path: Path,
    { recursive = false, ifTag }: { recursive?: boolean | undefined; ifTag?: string | undefined },
    signal?: AbortSignal
  ): Promise<Change> {
    this.#options.assertMayWrite()
    if (path.length === 0) throw new InvalidInputError('the root directory cannot be removed')
    const node = await this.#options.tree.resolve(path)
    if (node === undefined) throw new NotFoundError('nothing is at this path')
    if (node.kind === 'file') {
      const statements = await this.#removeFile(node, ifTag)
      return { path, record: statements.at(-1) as Statement<'entry'>, statements }
    }
    if (ifTag !== undefined) throw new ChangedError('what is at this path has changed')
    if (!recursive) throw new IsADirectoryError('this is a directory: remove it with -r')
    const statements = await this.#removeBelow(node, signal)
    return { path, record: statements.at(-1) as Statement<'entry'>, statements }
  }

  async #removeFile(node: FileNode, ifTag: string | undefined): Promise<Array<Statement<'entry'>>> {
    if (ifTag !== undefined && tagOfContent(node.record) !== ifTag)
      throw new ChangedError('what is at this path has changed')
    if (isVersion(node)) return this.#settle(node)
    return this.#lockEntries([node.id], async () => {
      const now = await this.#options.tree.entry(node.id)
      const content = now?.shown.content
      if (content === undefined) throw new NotFoundError('nothing is at this path')
      if (ifTag !== undefined && tagOfContent(content) !== ifTag)
        throw new ChangedError('what is at this path has changed')
      return this.#append(await this.#deleteEntry(node.id))
    })
  }

  /** Files first, then the directories that held them, so that nothing is ever left without a place. */
  async #removeBelow(directory: DirectoryNode, signal?: AbortSignal): Promise<Array<Statement<'entry'>>> {
    const statements: Array<Statement<'entry'>> = []
    const files = new Map<string, Uint8Array>()
    for await (const node of this.#options.tree.list(directory)) {
      signal?.throwIfAborted()
      if (node.kind === 'directory') statements.push(...(await this.#removeBelow(node, signal)))
      else files.set(toHex(node.id), node.id)
    }
    const ids = [...files.values(), ...directory.ids]
    for (let start = 0; start < ids.length; start += DELETE_BATCH) {
      signal?.throwIfAborted()
      const some = ids.slice(start, start + DELETE_BATCH)
      const records = await this.#lockEntries(some, async () => {
        const ended = await Promise.all(some.map(id => this.#deleteEntry(id)))
        return this.#append(ended.flat())
      })
      statements.push(...records)
    }
    return statements
  }

  /** The directory at a path, made if it is missing, with those above it. Gives the records that this took. */
  async #ensureDirectory(path: Path, replicas: number): Promise<Array<Statement<'entry'>>> {
    const { tree, author, chance, clock } = this.#options
    const found = await tree.resolve(path)
    if (found?.kind === 'directory') return []
    if (found !== undefined) throw new NotADirectoryError('a file is where a directory should be')
    const statements = await this.#ensureDirectory(path.slice(0, -1), replicas)
    await this.#lockPaths([path], async () => {
      if ((await tree.resolve(path)) !== undefined) return
      const parent = await this.#directory(path.slice(0, -1))
      if (parent === undefined) return
      const at = { parent: parent.ids[0] as Uint8Array, name: path.at(-1) as string }
      const record = author.createDirectory(chance.bytes(ENTRY_ID_BYTES), at, Math.floor(clock.now()), replicas)
      statements.push(...(await this.#append([record])))
    })
    return statements
  }

  async #directory(path: Path): Promise<DirectoryNode | undefined> {
    const node = path.length === 0 ? rootNode() : await this.#options.tree.resolve(path)
    return node?.kind === 'directory' ? node : undefined
  }

  #createFile(parent: DirectoryNode, path: Path, content: Content, replicas: number): Statement<'entry'> {
    const { author, chance } = this.#options
    const at = { parent: parent.ids[0] as Uint8Array, name: path.at(-1) as string }
    return author.createFile(chance.bytes(ENTRY_ID_BYTES), at, content, replicas)
  }

  /** New content for a file, which ends its conflicts, and those of other files with its name. The write comes last. */
  #rewrite(node: FileNode, content: Content, replicas: number): Promise<Array<Statement<'entry'>> | undefined> {
    const { author, bodies, chance } = this.#options
    return this.#lockEntries([node.id, ...node.rivals], async () => {
      const records: Array<Statement<'entry'>> = []
      for (const rival of node.rivals) records.push(...(await this.#deleteEntry(rival)))
      const found = await this.#entry(node.id)
      if (found === undefined || found.shown.isDeleted) return undefined
      const { row, shown, body } = found
      if (body === undefined || row.isDamaged)
        throw new DamagedEntryError('this entry cannot be read: remove it, then put anew')
      const at = { parent: body.parent, name: body.name }
      const props = content.props ?? (await bodies.open(shown.content ?? shown.place))?.props
      const written = author.write(node.id, row.state, shown, at, { ...content, props }, replicas)
      if (written !== undefined) records.push(written)
      else {
        records.push(...author.delete(node.id, row.state, shown, body))
        records.push(author.createFile(chance.bytes(ENTRY_ID_BYTES), at, { ...content, props }, replicas))
      }
      return this.#append(records)
    })
  }

  async #moveEntry(id: Uint8Array, at: Placement): Promise<Array<Statement<'entry'>>> {
    const { author, bodies, chance } = this.#options
    const found = await this.#entry(id)
    if (found === undefined) return []
    const { row, shown } = found
    const carried = shown.content ?? shown.place
    const body = await bodies.open(carried)
    if (body === undefined) throw new DamagedEntryError('this entry cannot be read: it can only be removed')
    const moved = author.move(row.state, carried, body, at)
    if (moved !== undefined) return [moved]
    // Its past has grown too long: it goes on under a new id.
    const renewed = chance.bytes(ENTRY_ID_BYTES)
    const ended = author.delete(id, row.state, shown, body)
    const created = author.create(renewed, { ...body, ...at }, carried)
    if (body.kind === 'file') return [...ended, created]
    return [created, ...(await this.#moveChildren(id, renewed)), ...ended]
  }

  /** What was below a directory goes with it under its new id. */
  async #moveChildren(from: Uint8Array, to: Uint8Array): Promise<Array<Statement<'entry'>>> {
    const records: Array<Statement<'entry'>> = []
    for await (const { id, name } of this.#options.tree.childrenOf(from)) {
      records.push(...(await this.#moveEntry(id, { parent: to, name })))
    }
    return records
  }

  /** The entries that a move of one changes: itself, and of a directory that goes on under a new id what is below. */
  async #familyOf(id: Uint8Array): Promise<Uint8Array[]> {
    const { tree } = this.#options
    const found = await tree.entry(id)
    if (found === undefined) return [id]
    const { row, shown } = found
    if (row.kind !== 'directory' || !isPastTooLong([shown.content ?? shown.place])) return [id]
    const family = [id]
    for await (const child of tree.childrenOf(id)) family.push(...(await this.#familyOf(child.id)))
    return family
  }

  async #deleteEntry(id: Uint8Array): Promise<Array<Statement<'entry'>>> {
    const found = await this.#entry(id)
    return found === undefined ? [] : this.#options.author.delete(id, found.row.state, found.shown, found.body)
  }

  /** Ends the conflict version that a path shows: the file's own content is written once more, over all it has seen. */
  async #settle(node: FileNode): Promise<Array<Statement<'entry'>>> {
    if (node.shown.conflicts.length > 1) {
      throw new InvalidInputError('this file has several conflict versions: put the one to keep at its own path')
    }
    const { root, rootEpoch } = node.shown.content ?? node.record
    const body = await this.#options.bodies.open(node.shown.content ?? node.record)
    if (body === undefined || root === null || rootEpoch === null)
      throw new DamagedEntryError('this entry cannot be read: it can only be removed')
    const kept = { ...contentOf(body), root, rootEpoch }
    const records = await this.#rewrite({ ...node, rivals: [] }, kept, node.shown.replicas)
    if (records === undefined) throw new ChangedError('what is at this path has changed')
    return records
  }

  /** An entry as it stands, and the body that places it. */
  async #entry(id: Uint8Array): Promise<{ row: EntryRow; shown: Shown; body: EntryBody | undefined } | undefined> {
    const found = await this.#options.tree.entry(id)
    return found === undefined ? undefined : { ...found, body: await this.#options.bodies.open(found.shown.place) }
  }

  async #append(records: Array<Statement<'entry'>>): Promise<Array<Statement<'entry'>>> {
    if (records.length > 0) await this.#options.log.append(records, this.#options.self.publicKey)
    return records
  }

  /** Runs a verb until what it found still held when it wrote. */
  async #attempt<T>(verb: () => Promise<T | undefined>): Promise<T> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const result = await verb()
      if (result !== undefined) return result
    }
    throw new ChangedError('what is at this path keeps changing: try again')
  }

  /**
   * Directories are moved one at a time: of two that are moved into each other at once the second must find what the
   * first did. This comes before all other locks.
   */
  #lockMove<T>(paths: readonly Path[], isDirectory: boolean, work: () => Promise<T>): Promise<T> {
    const move = (): Promise<T> => this.#lockPaths(paths, work)
    return isDirectory ? this.#locks.run('directories', move) : move()
  }

  /** As `lockEntries`, for entries with all that moves along, and others. Undefined if more has to move by then. */
  async #lockFamilies<T>(
    ids: readonly Uint8Array[],
    others: readonly Uint8Array[],
    work: () => Promise<T>
  ): Promise<T | undefined> {
    const families = async (): Promise<Uint8Array[]> => (await Promise.all(ids.map(id => this.#familyOf(id)))).flat()
    const locked = await families()
    const known = new Set(locked.map(toHex))
    return this.#lockEntries([...locked, ...others], async () =>
      (await families()).every(id => known.has(toHex(id))) ? work() : undefined
    )
  }

  /** A name is given away by one verb at a time. Paths before entries, each in one order: no two wait for each other. */
  #lockPaths<T>(paths: readonly Path[], work: () => Promise<T>): Promise<T> {
    return this.#lockAll(paths.map(formatPath), work)
  }

  /** What a record has seen is what stands when it is appended: one verb an entry at a time. */
  #lockEntries<T>(ids: readonly Uint8Array[], work: () => Promise<T>): Promise<T> {
    return this.#lockAll(ids.map(toHex), work)
  }

  async #lockAll<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    const ordered = [...new Set(keys)].sort()
    const lock = (i: number): Promise<T> =>
      i === ordered.length ? work() : this.#locks.run(ordered[i] as string, () => lock(i + 1))
    return lock(0)
  }
}

function contentOf({ size, mtime, mode, type, key, content, props }: EntryBody): Omit<Content, 'root' | 'rootEpoch'> {
  return { size, mtime, mode, type, key, content, props }
}

/** True of a file's conflict version: another content of the same entry. */
function isVersion(node: TreeNode): boolean {
  return node.kind === 'file' && node.shown.content !== node.record
}

function refuseVersion(node: TreeNode): void {
  if (isVersion(node)) throw new InvalidInputError('this is a conflict version: copy it, or remove it')
}

function checkTarget(node: TreeNode | undefined, { noClobber, ifTag }: Pick<LinkOptions, 'noClobber' | 'ifTag'>): void {
  if (node?.kind === 'directory') throw new IsADirectoryError('this path is a directory')
  if (node === undefined) {
    if (typeof ifTag === 'string') throw new ChangedError('what is at this path has changed')
    return
  }
  refuseVersion(node)
  if (noClobber === true) throw new ExistsError('something is at this path already')
  if (ifTag !== undefined && ifTag !== tagOfContent(node.record))
    throw new ChangedError('what is at this path has changed')
}

function checkReplace(node: TreeNode, target: TreeNode, noClobber: boolean): void {
  if (target.kind === 'directory' || noClobber) throw new ExistsError('something is at this path already')
  if (node.kind === 'directory') throw new NotADirectoryError('a directory cannot replace a file')
  refuseVersion(target)
}
