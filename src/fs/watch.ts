import { NotADirectoryError } from '../catalog/errors.ts'
import { type Cause, type Cursor, formatMark, parseMark, type Told } from '../catalog/feed/change-feed.ts'
import type { DirectoryNode, ListedNode, TreeNode } from '../catalog/tree-node.ts'
import { formatPath, isBelow, isSamePath, type Path } from '../format/path.ts'
import { peerIdOf } from '../format/peer-id.ts'
import { toHex } from '../util/bytes.ts'
import { InvalidInputError } from '../util/errors.ts'
import { UNTOLD_MAX } from './constants.ts'
import type { FsContext } from './context.ts'
import { nodesBelow, toItem } from './list.ts'
import type { WatchEvent, WatchOptions } from './watch-types.ts'

export type WatchContext = Pick<FsContext, 'feed' | 'tree'> & {
  members: Pick<FsContext['members'], 'member'> & { standing: Pick<FsContext['members']['standing'], 'assertReads'> }
}

/** An event without its cursor. */
type Event = Omit<WatchEvent, 'cursor'>
type Appeared = Extract<Told, { hasBelow: boolean }>

const NOTHING = { kind: null, size: 0, modified: null, version: null, author: null }

/**
 * Yields what changes at and below a path, until the node stops. The events of one batch of changes but the last have
 * the cursor before the batch, so a watcher that goes on from one of them is told the whole batch again.
 */
export async function* watchPath(fs: WatchContext, path: Path, options: WatchOptions = {}): AsyncGenerator<WatchEvent> {
  const { since, list = false, signal } = options
  signal?.throwIfAborted()
  fs.members.standing.assertReads()
  const mark = since === undefined ? undefined : parseMark(since)
  if (since !== undefined && mark === undefined)
    throw new InvalidInputError('this is not a cursor: pass the cursor of an earlier event, or none')
  const scope = new Scope(fs, path, options)
  scope.listedUpTo = mark?.listedUpTo ?? 0
  let cursor: Cursor | undefined
  const at = (event: Event, listedUpTo = scope.listedUpTo): WatchEvent => {
    return { ...event, cursor: cursor === undefined ? (since as string) : formatMark({ cursor, listedUpTo }) }
  }
  // A watcher that goes on from here is told the whole batch again, and must not move the same directory twice.
  const amid = (event: Event): WatchEvent => at(event, Math.max(scope.listedUpTo, scope.row))
  let last: Event | undefined
  let untold = 0
  for await (const item of fs.feed.follow(mark?.cursor, signal)) {
    if (item.change !== 'current') {
      for await (const event of scope.events(item)) {
        if (last !== undefined) yield amid(last)
        last = event
      }
      continue
    }
    const isFirst = cursor === undefined
    cursor = item.cursor
    scope.row = cursor.number + 1
    if (isFirst && list && since === undefined)
      for await (const event of scope.events({ change: 'reset', path: [] })) yield at(event)
    untold = last === undefined ? untold + 1 : 0
    if (last !== undefined) yield at(last)
    if (isFirst || untold > UNTOLD_MAX) {
      yield at({ change: 'current', path: formatPath(path), ...NOTHING })
      untold = 0
    }
    last = undefined
  }
}

/** The part of the tree that a watcher looks at. */
class Scope {
  /** The number of the row that is told. */
  row = 0
  /**
   * The listings that were told contain the changes up to this row. If one of these moved a directory, they do not show
   * what was below its former path before the move.
   */
  listedUpTo = 0
  readonly #fs: WatchContext
  readonly #path: Path
  readonly #options: WatchOptions

  constructor(fs: WatchContext, path: Path, options: WatchOptions) {
    this.#fs = fs
    this.#path = path
    this.#options = options
  }

  /** Yields what a change means for this part of the tree. */
  async *events(told: Told): AsyncGenerator<Event> {
    if (told.change === 'reset') yield* this.#reset(told.path)
    else if (told.change === 'removed') yield* this.#gone(told)
    else if (told.change === 'moved') yield* this.#moved(told)
    else if (this.#isInside(told.node.path)) yield* this.#appeared(told)
    // It may have appeared with the watched path below it.
    else if (told.hasBelow && isBelow(this.#path, told.node.path)) yield* this.#reset(this.#path)
  }

  async *#gone({ path, kind, cause }: Extract<Told, { change: 'removed' }>): AsyncGenerator<Event> {
    if (kind === 'directory' && isBelow(this.#path, path) && !isSamePath(this.#path, path)) yield* this.#reset(path)
    else yield* this.#removed(path, kind, cause)
  }

  async *#moved({ from, node, cause }: Extract<Told, { change: 'moved' }>): AsyncGenerator<Event> {
    const { path, kind } = node
    const isAbove = [from, path].some(end => isBelow(this.#path, end) && !isSamePath(end, this.#path))
    // A directory above the watched path was moved away, or to its place.
    if (isAbove) yield* this.#reset(this.#path)
    else if (this.#isInside(from) && this.#isInside(path) && (kind === 'file' || this.row > this.listedUpTo)) {
      const listed = await this.#fs.tree.listed(node)
      yield { ...this.#shown('moved', listed, cause), from: formatPath(from) }
    } else {
      yield* this.#removed(from, kind, cause)
      if (this.#isInside(path)) yield* this.#appeared({ change: 'created', node, hasBelow: true, cause })
    }
  }

  async *#appeared({ change, node, hasBelow, cause }: Appeared): AsyncGenerator<Event> {
    yield this.#shown(change, await this.#fs.tree.listed(node), cause)
    if (node.kind === 'directory' && hasBelow) yield* this.#below(node)
  }

  /** Yields everything below a directory that is inside. */
  async *#below(node: DirectoryNode): AsyncGenerator<Event> {
    const { recursive, signal } = this.#options
    if (recursive === true || isSamePath(node.path, this.#path))
      for await (const below of nodesBelow(this.#fs, node, { recursive, signal }))
        yield this.#shown(below.isConflict ? 'conflict' : 'created', below, undefined)
    this.listedUpTo = (await this.#fs.feed.newest()).number
  }

  async *#reset(path: Path): AsyncGenerator<Event> {
    const at = isBelow(this.#path, path) ? this.#path : path
    if (!this.#isInside(at)) return
    yield { change: 'reset', path: formatPath(at), ...NOTHING }
    const node = await this.#find(at)
    // The watcher has forgotten what was below, so a directory that was there, and that a later row moves, is new to it.
    if (node?.kind !== 'directory') this.listedUpTo = (await this.#fs.feed.newest()).number
    if (node === undefined) return
    if (at.length === 0 && node.kind === 'directory') yield* this.#below(node)
    else
      yield* this.#appeared({
        change: node.isConflict ? 'conflict' : 'created',
        node,
        hasBelow: true,
        cause: undefined
      })
  }

  /** Returns what is at a path now; undefined also if a part of the path is a file. */
  async #find(path: Path): Promise<TreeNode | undefined> {
    try {
      return await this.#fs.tree.resolve(path)
    } catch (error) {
      if (error instanceof NotADirectoryError) return undefined
      throw error
    }
  }

  #shown(change: WatchEvent['change'], node: ListedNode, cause: Cause | undefined): Event {
    const { path, kind, size, modified } = toItem(node)
    const record = node.kind === 'file' ? node.record : undefined
    const author = cause?.author ?? record?.stamp.author
    const version = record === undefined ? null : toHex(record.id)
    return { change, path, kind, size, modified, version, author: this.#author(author) }
  }

  *#removed(path: Path, kind: 'file' | 'directory', cause: Cause | undefined): Generator<Event> {
    if (!this.#isInside(path)) return
    const version = cause === undefined || kind === 'directory' ? null : toHex(cause.record)
    const author = this.#author(cause?.author)
    yield { change: 'removed', path: formatPath(path), ...NOTHING, kind, version, author }
  }

  #author(key: Uint8Array | undefined): WatchEvent['author'] {
    if (key === undefined) return null
    const peer = peerIdOf(key)
    return { peerId: peer, name: this.#fs.members.member(peer)?.name ?? peer }
  }

  #isInside(path: Path): boolean {
    const depth = path.length - this.#path.length
    return isBelow(path, this.#path) && (this.#options.recursive === true || depth <= 1)
  }
}
