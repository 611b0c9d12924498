import { lstat, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { FORMAT_FILE, parseFormat } from './data-directory.ts'
import { asDiskError, ReadOnlyError, UnknownLayoutError, UnusableDirectoryError } from './errors.ts'
import { FIRST_START, isFirstFile, isPlainFile } from './own-files.ts'

/** The folder that `mkfs` puts into every new ext file system, so a new disk that is mounted as data directory has it. */
const LOST_AND_FOUND = 'lost+found'
const STICKY = 0o1000

/**
 * The state of the path of a data directory: there is nothing; an empty directory; one whose first start was
 * interrupted; or one that a node has used. `mode` is undefined if there is no directory.
 */
export interface DirectoryState {
  kind: 'missing' | 'new' | 'interrupted' | 'used'
  mode: number | undefined
}

/**
 * Looks at a data directory and changes nothing. Throws an `UnusableDirectoryError` if no data directory can be there,
 * or if the directory belongs to somebody else: to another user, to all users (it is sticky, as /tmp is), or to another
 * program, whose files are in it. Throws an `UnknownLayoutError` if the format file is missing or unknown. `ownersFiles`
 * are names that may be in a new directory.
 */
export async function lookAtDirectory(root: string, ownersFiles: readonly string[]): Promise<DirectoryState> {
  try {
    return await look(root, ownersFiles)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const what = WHAT_IS_WRONG[code ?? '']
    if (code === 'EACCES' || code === 'EPERM')
      throw new ReadOnlyError(
        'cannot read the data directory: permission denied: start as its owner, or give another --data-dir',
        { cause }
      )
    if (what !== undefined) throw new UnusableDirectoryError(`${what}: give another --data-dir`, { cause })
    throw asDiskError(cause)
  }
}

const WHAT_IS_WRONG: Record<string, string> = {
  ENOTDIR: 'the path of the data directory leads through a file',
  ENAMETOOLONG: 'the path of the data directory is too long',
  ELOOP: 'the path of the data directory leads through a loop of symbolic links',
  ERR_INVALID_ARG_VALUE: 'the path of the data directory has a NUL character'
}

async function look(root: string, ownersFiles: readonly string[]): Promise<DirectoryState> {
  const stats = await stat(root).catch(async error => {
    if (error.code !== 'ENOENT') throw error
    if (await isDangling(root))
      throw new UnusableDirectoryError('the data directory is a symbolic link to nothing: give another --data-dir')
    return undefined
  })
  if (stats === undefined) return { kind: 'missing', mode: undefined }
  if (!stats.isDirectory())
    throw new UnusableDirectoryError('there is a file where the data directory should be: give another --data-dir')
  const { mode, uid } = stats
  const names = new Set(await readdir(root))
  if (names.has(FORMAT_FILE)) {
    await assertKnownFormat(root)
    return { kind: names.has(FIRST_START) ? 'interrupted' : 'used', mode }
  }
  await assertNew(root, names, ownersFiles)
  assertOurs(mode, uid)
  return { kind: names.has(FIRST_START) ? 'interrupted' : 'new', mode }
}

async function assertKnownFormat(root: string): Promise<void> {
  const path = join(root, FORMAT_FILE)
  // Another program may have a pipe of this name, and reading a pipe may never end.
  parseFormat((await isPlainFile(path)) ? await readFile(path) : new Uint8Array(0))
}

/** Throws unless a directory without a format file holds only what may be in a new one. */
async function assertNew(root: string, names: ReadonlySet<string>, ownersFiles: readonly string[]): Promise<void> {
  if (names.has('keystore') || names.has('segments'))
    throw new UnknownLayoutError(
      'the data directory has lost its format file: restore format.json from a backup, or give another --data-dir'
    )
  for (const name of names) {
    if (ownersFiles.includes(name) || name === LOST_AND_FOUND) continue
    if (await isFirstFile(root, name)) continue
    throw new UnusableDirectoryError(
      'the data directory is not empty, and its files are not those of a node: give another --data-dir, such as a new folder inside it'
    )
  }
}

/** Throws unless we may make an empty directory private. */
function assertOurs(mode: number, owner: number): void {
  const self = process.getuid?.()
  if (self === undefined) return
  if ((mode & STICKY) !== 0)
    throw new UnusableDirectoryError(
      'the data directory is one that all users share: give another --data-dir, such as a new folder inside it'
    )
  // The superuser may use it, because a container runs as root on a folder of the host's user.
  if (self !== 0 && owner !== self)
    throw new UnusableDirectoryError(
      'the data directory belongs to another user: give another --data-dir, such as a new folder inside it'
    )
}

async function isDangling(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}
