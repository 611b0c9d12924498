import { PATH_BYTES_MAX, PATH_PART_BYTES_MAX } from '../../format/constants.ts'
import { formatPath, type Path, pathBytes } from '../../format/path.ts'
import { utf8 } from '../../util/bytes.ts'
import { pushAll } from '../../util/push-all.ts'
import { MOVE_LOOK_MAX, MOVE_PAGE } from '../constants.ts'
import { PathTooLongError } from '../errors.ts'
import type { DirectoryNode } from '../tree-node.ts'
import type { ChangeContext } from './context.ts'

/** The most bytes that one level adds to a path. */
const LEVEL_BYTES_MAX = 1 + PATH_PART_BYTES_MAX

type Room = Pick<ChangeContext, 'tree' | 'bodies'>

/** Throws a `PathTooLongError` if a path has too many bytes. */
export function assertPathFits(path: Path): void {
  const bytes = pathBytes(path)
  if (bytes > PATH_BYTES_MAX) throw new PathTooLongError(formatPath(path), bytes)
}

/**
 * Throws a `PathTooLongError` if something below a directory would have a path that is too long once the directory is
 * at `target`. Nobody could read it there.
 *
 * A move to a path that is no longer than the old one looks at nothing. Any other reads which levels the directory has,
 * and no names. Names are opened only if the levels would allow a path that is too long, which takes sixteen levels in
 * a place near the root. At most `MOVE_LOOK_MAX` entries are looked at, so that the move of a huge tree is not slow. An
 * entry deep in such a tree may be missed. Its path is then too long until the tree is moved back.
 */
export async function assertMoveFits(room: Room, node: DirectoryNode, target: Path): Promise<void> {
  const bytes = pathBytes(target)
  if (bytes <= pathBytes(node.path)) return
  const levels = new Look(room, node, { isNamed: false })
  if ((await levels.longest(PATH_BYTES_MAX - bytes)) === undefined) return
  const found = await new Look(room, node, { isNamed: true }).longest(PATH_BYTES_MAX - bytes)
  if (found !== undefined) throw new PathTooLongError(formatPath([...node.path, ...found.names]), bytes + found.bytes)
}

/** Something below a directory. */
interface Below {
  /** The bytes that it adds to the path of the directory, or the most that it may add. */
  bytes: number
  /** Its names below the directory; empty if they are not read. */
  names: Path
}

/** A directory that has not been read to its end. */
interface Open extends Below {
  id: Uint8Array
  after: Uint8Array | undefined
}

/**
 * One search for what is far down. It reads a page of a directory, then goes down into the directories that it has found
 * there, and only then reads on. So a directory with many files does not keep it from what is deep.
 */
class Look {
  readonly #room: Room
  readonly #isNamed: boolean
  /** The next to read is the last. */
  readonly #open: Open[]
  #looked = 0

  constructor(room: Room, { ids }: DirectoryNode, { isNamed }: { isNamed: boolean }) {
    this.#room = room
    this.#isNamed = isNamed
    this.#open = ids.map(id => ({ id, bytes: 0, names: [], after: undefined }))
  }

  /** Returns the first that is found to add more bytes than there is room for. */
  async longest(room: number): Promise<Below | undefined> {
    for (let at = this.#open.pop(); at !== undefined && this.#looked < MOVE_LOOK_MAX; at = this.#open.pop()) {
      const found = await this.#readPage(at, room)
      if (found !== undefined) return found
    }
    return undefined
  }

  async #readPage(at: Open, room: number): Promise<Below | undefined> {
    const children: Open[] = []
    let count = 0
    let after = at.after
    for await (const { id, kind, key } of this.#room.tree.childrenOf(at.id, at.after)) {
      if (count++ === MOVE_PAGE) {
        this.#open.unshift({ ...at, after })
        break
      }
      after = key
      const mayBeLonger = kind === 'directory' || at.bytes + LEVEL_BYTES_MAX > room
      const name = this.#isNamed && mayBeLonger ? await this.#nameOf(id) : undefined
      const bytes = at.bytes + (name === undefined ? LEVEL_BYTES_MAX : 1 + utf8(name).byteLength)
      const below = { bytes, names: name === undefined ? at.names : [...at.names, name] }
      if (bytes > room && (name !== undefined || !this.#isNamed)) return below
      if (kind === 'directory') children.push({ ...below, id, after: undefined })
    }
    this.#looked += count
    pushAll(this.#open, children)
    return undefined
  }

  /** Returns the name of an entry; undefined if it cannot be opened. */
  async #nameOf(id: Uint8Array): Promise<string | undefined> {
    const found = await this.#room.tree.entry(id)
    return found === undefined ? undefined : (await this.#room.bodies.open(found.shown.place))?.name
  }
}
