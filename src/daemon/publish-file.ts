import { open, rename, link as systemLink } from 'node:fs/promises'

/** The errors with which a file system refuses a hard link that it does not support, as those of memory sticks do. */
const NO_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK'])

/**
 * Gives a file that is written whole its final name. Throws the error `EEXIST` of the system if there is a file of that
 * name: it is never replaced. A program that waits for the name never sees half a file; where there are no hard links, it
 * may see an empty one for a moment. `link` makes a hard link; replaced in tests.
 */
export async function publishFile(temp: string, file: string, link = systemLink): Promise<void> {
  try {
    await link(temp, file)
  } catch (error) {
    if (!NO_LINKS.has((error as NodeJS.ErrnoException).code ?? '')) throw error
    // Whoever creates the name first has it.
    await (await open(file, 'wx', 0o600)).close()
    await rename(temp, file)
  }
}
