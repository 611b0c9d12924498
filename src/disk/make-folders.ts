import { mkdir, rmdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/** The mode of every folder that this program creates: only its owner can enter it. */
export const DIRECTORY_MODE = 0o700

/**
 * Creates a folder and its missing parents. Returns the folders that this call created, the highest first. If it fails,
 * it removes them again, and throws the error of the operating system.
 *
 * Node's own recursive `mkdir` is not used. It takes ENOENT for a missing parent and tries again, so in a folder like
 * /proc, which exists and accepts no new names, it never ends.
 */
export async function makeFolders(path: string): Promise<string[]> {
  const made: string[] = []
  try {
    for (const folder of await missingFolders(resolve(path))) if (await makeFolder(folder)) made.push(folder)
  } catch (error) {
    await removeFolders(made)
    throw error
  }
  return made
}

/**
 * Removes folders that are empty, the last of the list first. It stops at the first one that somebody else has put
 * something into.
 */
export async function removeFolders(folders: readonly string[]): Promise<void> {
  for (const folder of folders.toReversed()) {
    try {
      await rmdir(folder)
    } catch {
      // The folder is in use, or somebody has removed it already. There is nothing to do in either case.
      return
    }
  }
}

/** Creates one folder. Returns false if there is a folder of this name already. */
async function makeFolder(folder: string): Promise<boolean> {
  try {
    await mkdir(folder, { mode: DIRECTORY_MODE })
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST' && (await stat(folder)).isDirectory()) return false
    throw error
  }
}

/** Returns those of a folder and its parents that do not exist, the highest first. */
async function missingFolders(folder: string): Promise<string[]> {
  try {
    await stat(folder)
    return []
  } catch (error) {
    const parent = dirname(folder)
    if (codeOf(error) !== 'ENOENT' || parent === folder) throw error
    return [...(await missingFolders(parent)), folder]
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}
