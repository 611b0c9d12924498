import { lstat, mkdir, open, rename, rm, stat, utimes } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CliError } from '../terminal/errors.ts'
import { temporaryName } from './temporary-name.ts'

/**
 * Writes a local file from a stream. The bytes go into a temporary file beside the target, which is renamed to the
 * target once it is complete. If the stream breaks off, the temporary file is removed, and an old file at the target is
 * not changed.
 */
export async function writeLocal(
  target: string,
  body: AsyncIterable<Uint8Array>,
  facts: { modified: Date; mode: number | undefined }
): Promise<void> {
  const temp = join(dirname(target), temporaryName(basename(target)))
  const mode = facts.mode === undefined ? undefined : facts.mode & 0o777
  const handle = await open(temp, 'wx', mode ?? 0o666)
  try {
    try {
      for await (const bytes of body) await handle.writeFile(bytes)
      if (mode !== undefined) await handle.chmod(mode)
    } finally {
      await handle.close()
    }
    if (!Number.isNaN(facts.modified.getTime())) await utimes(temp, facts.modified, facts.modified)
    await rename(temp, target)
  } catch (error) {
    await rm(temp, { force: true })
    throw error
  }
}

/** Returns what is at a local path, if anything. For a link it returns `other`, unless links are to be followed. */
export async function kindOf(
  path: string,
  links: 'follow' | 'refuse' = 'refuse'
): Promise<'file' | 'directory' | 'other' | undefined> {
  try {
    const found = await (links === 'follow' ? stat(path) : lstat(path))
    return found.isFile() ? 'file' : found.isDirectory() ? 'directory' : 'other'
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Creates a folder unless it exists. Throws if anything else is at the path, such as a link to a folder. */
export async function makeLocalFolder(path: string): Promise<void> {
  const kind = await kindOf(path)
  if (kind === 'directory') return
  if (kind !== undefined)
    throw new CliError('exists', 'something that is not a folder has the name of its local folder')
  await mkdir(path)
}

/**
 * Returns the reason why a name from the network may not become a local name, or undefined if it may. The node has
 * already checked its names. They are checked once more before they reach a file system.
 */
export function localNameFault(name: string, platform: NodeJS.Platform = process.platform): string | undefined {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) return 'its name would lead to another folder'
  if (platform === 'win32' && /[<>:"\\|?*\p{Cc}]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/iu.test(name))
    return 'this operating system does not allow its name'
  return undefined
}
