import { lstat, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { FORMAT_FILE } from './data-directory.ts'
import { removeFolders } from './make-folders.ts'

/** The file that is in a data directory until its first start has succeeded. */
export const FIRST_START = 'first-start'

/** The files that a first start writes before it is over, apart from those of the lock, by folder. */
const FILES: ReadonlyArray<readonly [folder: RegExp, name: RegExp]> = [
  [/^$/, /^((format\.json|keystore|candidate|index\.doubt|ports\.json|api\.json|api-port)(\.new)?|reserve|probe)$/],
  [/^(segments|blocks)$/, /^\d{8}\.seg$/],
  [/^index$/, /^(\d+\.(log|ldb|sst|dbtmp)|MANIFEST-\d+|CURRENT|LOCK|LOG|LOG\.old)$/]
]
const FOLDERS: ReadonlyArray<readonly [folder: RegExp, name: RegExp]> = [[/^$/, /^(segments|index|blocks)$/]]
/**
 * The files of the lock, and the mark of a first start. A process that is killed right after its start leaves only
 * these.
 */
const FIRST_FILES = /^(lock(\.[0-9a-f]{16,32})*|first-start(\.new)?|format\.json\.new)$/

/** The text of the files of the lock. A power cut may leave them empty, or with zeros. */
const LOCK_TEXT = /^(\d+ (\d+|-|ended) [0-9a-f]{32}( \d+:\d+)?|\0*)$/
const LOCK_BYTES_MAX = 128

/** Returns true for a file in `root` that a first start writes before the format file. */
export async function isFirstFile(root: string, name: string): Promise<boolean> {
  if (!FIRST_FILES.test(name) || !(await isPlainFile(join(root, name)))) return false
  return !name.startsWith('lock') || (await isLockFile(join(root, name)))
}

/** Returns true for a name that a node uses in its data directory, so that no other file may have it. */
export function isOwnName(name: string): boolean {
  return FIRST_FILES.test(name) || isNamed(FILES, '', name) || isNamed(FOLDERS, '', name)
}

/**
 * Removes the files that a first start has written, and then the folders, unless somebody else has put something into
 * them. The files of the lock and the mark of the first start stay. Only names that a node writes are removed, one by
 * one, so files of other people stay, wherever they are.
 */
export async function removeOwnFiles(root: string, folder = ''): Promise<void> {
  const entries = await readdir(join(root, folder), { withFileTypes: true })
  // The format file is removed last. Without it, nobody could tell after a crash that the remaining files are a node's.
  entries.sort((a, b) => Number(a.name === FORMAT_FILE) - Number(b.name === FORMAT_FILE))
  for (const entry of entries) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isFile() && isNamed(FILES, folder, entry.name)) await rm(join(root, path), { force: true })
    if (!entry.isDirectory() || !isNamed(FOLDERS, folder, entry.name)) continue
    await removeOwnFiles(root, path)
    await removeFolders([join(root, path)])
  }
}

/**
 * Returns true for a plain file. Also returns true if the file is gone, because a process that is starting removes its
 * temporary files.
 */
export async function isPlainFile(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isFile()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true
    throw error
  }
}

async function isLockFile(path: string): Promise<boolean> {
  try {
    const { size } = await lstat(path)
    return size <= LOCK_BYTES_MAX && LOCK_TEXT.test(await readFile(path, 'latin1'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true
    throw error
  }
}

function isNamed(table: typeof FILES, folder: string, name: string): boolean {
  return table.some(([folders, names]) => folders.test(folder) && names.test(name))
}
