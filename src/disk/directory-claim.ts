import { chmod, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { systemWords } from '../util/system-words.ts'
import { type DirectoryState, lookAtDirectory } from './directory-look.ts'
import { asDiskError, FileMissingError, LockedError, ReadOnlyError, UnusableDirectoryError } from './errors.ts'
import { lockDirectory } from './lock.ts'
import { DIRECTORY_MODE, makeFolders, removeFolders } from './make-folders.ts'
import { NodeFiles } from './node-files.ts'
import { FIRST_START, removeOwnFiles } from './own-files.ts'

/** The most attempts. Another process may remove the directory meanwhile, when its own first start fails. */
const ATTEMPTS_MAX = 5
/** The errors of `mkdir` that mean that there can be no directory at this path. */
const UNMAKEABLE: ReadonlySet<string> = new Set(
  'ENOENT ENOTDIR EEXIST EACCES EPERM ENAMETOOLONG EINVAL ELOOP ENOSYS EOPNOTSUPP ENOTSUP ERR_INVALID_ARG_VALUE'.split(
    ' '
  )
)

export interface ClaimOptions {
  logger: ComponentLogger
  /** Names of files that the owner has put into the directory. The directory counts as new in spite of them. */
  ownersFiles?: readonly string[] | undefined
}

/** A data directory that this process has locked. */
export interface DataDirectory {
  /** True if no first start on this directory has succeeded yet. */
  readonly isFirstStart: boolean
  /** True if an earlier first start was interrupted, so that its files are still there. */
  readonly wasInterrupted: boolean
  /** Records that the first start has succeeded. From then on the directory is never cleared. Durable. */
  finishFirstStart(): Promise<void>
  /** Removes what a first start has written. The directory stays locked. */
  clear(): Promise<void>
  /**
   * Unlocks the directory. With `undo` this first removes what the start has written, restores the mode, and then
   * removes the folders that the start has created. Files of other people stay. A second call has no effect.
   */
  release(options: { undo: boolean }): Promise<void>
}

/**
 * Locks a data directory, and creates it if it does not exist. Nothing is changed in a directory that is refused. Throws
 * an `UnusableDirectoryError` for a path where no data directory can be, and for one that belongs to somebody else; a
 * `ReadOnlyError` if this user may not read or create it; a
 * `LockedError` if another process has it; an `UnknownLayoutError` if its format is unknown; and the errors of the disk.
 */
export async function claimDirectory(root: string, options: ClaimOptions): Promise<DataDirectory> {
  const { logger, ownersFiles = [] } = options
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    let made: string[] = []
    try {
      if ((await lookAtDirectory(root, ownersFiles)).kind === 'missing') made = await make(root)
      const unlock = await lockDirectory(root, { logger })
      return await open({ root, made, unlock, options })
    } catch (error) {
      await removeFolders(made)
      if (!(error instanceof FileMissingError)) throw error
      logger.forComponent('dfs:disk:directory')('the directory is gone again, looking again: %s', reasonOf(error))
    }
  }
  throw new LockedError('another process is starting on this data directory: stop it, or give another --data-dir')
}

async function make(root: string): Promise<string[]> {
  try {
    return await makeFolders(root)
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? ''
    if (!UNMAKEABLE.has(code)) throw asDiskError(cause)
    const isDenied = code === 'EACCES' || code === 'EPERM'
    const message = `cannot create the data directory: ${systemWords(code)}: give another --data-dir`
    throw isDenied ? new ReadOnlyError(message, { cause }) : new UnusableDirectoryError(message, { cause })
  }
}

interface Opening {
  root: string
  /** The folders that this start created, the highest first. */
  made: readonly string[]
  unlock: () => Promise<void>
  options: ClaimOptions
}

async function open({ root, made, unlock, options }: Opening): Promise<DataDirectory> {
  const { logger, ownersFiles = [] } = options
  const log = logger.forComponent('dfs:disk:directory')
  let release = unlock
  try {
    // Another process may have used the directory between the first look and the lock.
    const found = await lookAtDirectory(root, ownersFiles)
    if (found.kind === 'missing') throw new FileMissingError('the data directory is gone')
    const directory = new ClaimedDirectory({ root, made, unlock, log, found })
    release = () => directory.release({ undo: found.kind === 'new' })
    await directory.prepare()
    return directory
  } catch (error) {
    await release()
    throw asDiskError(error)
  }
}

interface Claimed extends Omit<Opening, 'options'> {
  log: Logger
  found: DirectoryState
}

class ClaimedDirectory implements DataDirectory {
  readonly isFirstStart: boolean
  readonly wasInterrupted: boolean
  readonly #claimed: Claimed
  readonly #files: NodeFiles
  #hasChangedMode = false
  #isReleased = false

  constructor(claimed: Claimed) {
    const { kind } = claimed.found
    this.isFirstStart = kind !== 'used'
    this.wasInterrupted = kind === 'interrupted'
    this.#claimed = claimed
    this.#files = new NodeFiles(claimed.root)
  }

  /** Makes the directory private, and marks a first start. Both are durable, and so are the names of new folders. */
  async prepare(): Promise<void> {
    const { root, made, found } = this.#claimed
    if (process.platform !== 'win32' && found.mode !== undefined && (found.mode & 0o777) !== DIRECTORY_MODE) {
      await chmod(root, DIRECTORY_MODE)
      this.#hasChangedMode = true
    }
    // Syncing the files inside is useless as long as the name of the directory itself may be lost.
    for (const folder of made.toReversed()) await new NodeFiles(dirname(resolve(folder))).syncDirectory('')
    if (found.kind !== 'new') return
    await this.#files.writeNew(FIRST_START, [])
    await this.#files.syncDirectory('')
  }

  async finishFirstStart(): Promise<void> {
    if (!this.isFirstStart) return
    await this.#files.remove(FIRST_START)
    await this.#files.syncDirectory('')
  }

  async clear(): Promise<void> {
    this.#claimed.log('removing what a first start has left')
    await removeOwnFiles(this.#claimed.root)
  }

  async release({ undo }: { undo: boolean }): Promise<void> {
    if (this.#isReleased) return
    this.#isReleased = true
    const { root, made, unlock, log, found } = this.#claimed
    try {
      if (undo) {
        await this.clear()
        await rm(join(root, FIRST_START), { force: true })
        if (this.#hasChangedMode && found.mode !== undefined) await chmod(root, found.mode & 0o7777)
      }
    } catch (error) {
      // The caller reports the error that ended the start, so this one is only logged. The mark of the first start
      // stays, so the next start knows that files may be left.
      log('could not remove everything that this start has written: %s', reasonOf(error))
    }
    await unlock()
    if (undo) await removeFolders(made)
  }
}

/** Tells whether a directory can be the data directory of a node, without changing anything. */
export async function isFirstStartOn(root: string, ownersFiles: readonly string[] = []): Promise<boolean> {
  return (await lookAtDirectory(root, ownersFiles)).kind !== 'used'
}
