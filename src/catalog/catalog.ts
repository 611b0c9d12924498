import { decodeStamp } from '../format/entry.ts'
import type { Path } from '../format/path.ts'
import { compareStamps } from '../format/stamp.ts'
import type { Statement } from '../format/statement.ts'
import type { Log } from '../log/log.ts'
import type { LocalMember } from '../members/local-member.ts'
import { shortHex } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import type { ComponentLogger, Logger } from '../util/logger.ts'
import type { Author, Content, VersionEnd } from './author.ts'
import type { Bodies } from './bodies.ts'
import type { Change, DeletedFile, LinkChange, LinkFailure, Records } from './change.ts'
import type { TargetOptions } from './changes/checks.ts'
import type { ChangeContext } from './changes/context.ts'
import { endVersions } from './changes/end-versions.ts'
import { checkLink, type LinkOptions, link, linkAll, type NamedContent } from './changes/link.ts'
import { TreeLocks } from './changes/locks.ts'
import { mkdir } from './changes/mkdir.ts'
import { type MoveOptions, move } from './changes/move.ts'
import { type RemoveOptions, remove } from './changes/remove.ts'
import { restoreDirectories, restoreFile } from './changes/restore.ts'
import type { Tree } from './tree.ts'
import type { Versions } from './versions/versions.ts'

export interface CatalogOptions {
  log: Pick<Log, 'append'>
  tree: Tree
  bodies: Bodies
  author: Author
  self: LocalMember
  clock: Clock
  chance: Chance
  logger: ComponentLogger
  /** Throws if this member may not write now. */
  assertMayWrite: () => void
  /**
   * Throws a `NoSpaceError` if this node is full. Only changes that make the catalog grow call this, because a full
   * node still moves and deletes.
   */
  assertRoom?: () => Promise<void>
  versions: Versions
}

/**
 * The changes that can be made to the tree, each in a file of its own in `changes/`. A change signs records about the
 * entries that it touches. The records are durable in the log before the tree shows them. The caller pushes them to
 * other members.
 *
 * Each change is one transaction or several. `transact` says what a change promises while others run.
 */
export class Catalog {
  /** The versions of entries, and how long they are kept here. */
  readonly versions: Versions
  readonly #options: CatalogOptions
  readonly #log: Logger
  readonly #context: ChangeContext

  constructor(options: CatalogOptions) {
    const { tree, bodies, author, clock, chance, logger } = options
    this.#options = options
    this.versions = options.versions
    this.#log = logger.forComponent('dfs:catalog')
    this.#context = {
      tree,
      bodies,
      author,
      clock,
      chance,
      log: this.#log,
      locks: new TreeLocks(),
      append: records => this.#append(records)
    }
  }

  /** Throws the error that `link` would throw now. Call it before anything is stored for the link. */
  async checkLink(path: Path, options: TargetOptions): Promise<void> {
    await this.#assertMayGrow()
    await checkLink(this.#context, path, options)
  }

  /** Links content to a path. The content becomes that of the file at the path, or of a new file if there is none. */
  async link(path: Path, content: Content, options: LinkOptions): Promise<LinkChange> {
    await this.#assertMayGrow()
    return link(this.#context, path, content, options)
  }

  /** Links contents to different names in one directory, in one append. Returns the outcome of each: see `linkAll`. */
  async linkAll(
    directory: Path,
    files: readonly NamedContent[],
    options: Pick<LinkOptions, 'replicas'>
  ): Promise<Array<LinkChange | LinkFailure>> {
    await this.#assertMayGrow()
    return linkAll(this.#context, directory, files, options)
  }

  /** Makes a directory and any missing directories above it. */
  async mkdir(path: Path, replicas: number): Promise<Change> {
    await this.#assertMayGrow()
    return mkdir(this.#context, path, replicas)
  }

  /**
   * Moves the file or directory at a path to another path, or into it if it is a directory. Returns the new path, which
   * must be free or hold a file that may be replaced. Directories are never merged.
   */
  async move(from: Path, to: Path, options: MoveOptions): Promise<Path> {
    this.#options.assertMayWrite()
    return move(this.#context, from, to, options)
  }

  /** Deletes a file or, with `recursive`, a directory and everything below it. Returns the last record. */
  async remove(path: Path, options: RemoveOptions): Promise<Statement<'entry'>> {
    this.#options.assertMayWrite()
    return remove(this.#context, path, options)
  }

  /** Ends the versions of deleted entries, or cancels a purge of them. Returns the records. */
  async endVersions(ids: readonly Uint8Array[], ends: VersionEnd): Promise<Records> {
    this.#options.assertMayWrite()
    return endVersions(this.#context, ids, ends)
  }

  /** Writes content to a deleted file, so that it is at its place again. */
  async restoreFile(file: DeletedFile, content: Content, options: { replicas: number }): Promise<LinkChange> {
    await this.#assertMayGrow()
    return restoreFile(this.#context, file, content, options)
  }

  /** Restores deleted directories, without what was in them. Returns the records. */
  async restoreDirectories(ids: readonly Uint8Array[]): Promise<Records> {
    await this.#assertMayGrow()
    return restoreDirectories(this.#context, ids)
  }

  async #assertMayGrow(): Promise<void> {
    this.#options.assertMayWrite()
    await this.#options.assertRoom?.()
  }

  async #append(records: Records): Promise<Records> {
    if (records.length > 0) await this.#options.log.append(records, this.#options.self.signer)
    if (this.#log.enabled) for (const record of records) this.#report(record)
    return records
  }

  #report(record: Statement<'entry'>): void {
    const { id, fields } = record
    const kind = this.#options.bodies.openStatement(record)?.kind ?? 'entry'
    this.#log('appended record %s, which %s %s %s', shortHex(id), deedOf(record), kind, shortHex(fields.id))
  }
}

/**
 * Returns the verb that says in a log what a record does. A write keeps the old stamp of the place, and a move keeps
 * the old stamp of the content.
 */
function deedOf({ fields: { op, placed, written } }: Statement<'entry'>): string {
  if (op === 'delete') return 'deletes'
  const order = compareStamps(decodeStamp(placed), decodeStamp(written))
  return order === 0 ? 'creates' : order < 0 ? 'writes' : 'moves'
}
