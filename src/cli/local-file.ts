import { randomBytes } from 'node:crypto'
import { lstat, mkdir, open, rename, rm, utimes } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CliError } from './exit.ts'

/**
 * Writes a local file from a stream: under a name of its own beside the target, which it takes only when all of it is
 * there. What breaks off leaves nothing.
 */
export async function writeLocal(
  target: string,
  body: AsyncIterable<Uint8Array>,
  facts: { modified: Date; mode: number | undefined }
): Promise<void> {
  const name = `.${basename(target).slice(0, 32)}.dfs-${randomBytes(4).toString('hex')}`
  const temp = join(dirname(target), Buffer.byteLength(name) > 200 ? name.slice(-13) : name)
  const handle = await open(temp, 'wx', facts.mode === undefined ? 0o666 : facts.mode & 0o777)
  try {
    try {
      for await (const bytes of body) await handle.writeFile(bytes)
      if (facts.mode !== undefined) await handle.chmod(facts.mode & 0o777)
    } finally {
      await handle.close()
    }
    await utimes(temp, facts.modified, facts.modified)
    await rename(temp, target)
  } catch (error) {
    await rm(temp, { force: true })
    throw error
  }
}

/** What is at a local path: `other` is neither file nor folder, a link among it. */
export async function kindOf(path: string): Promise<'file' | 'directory' | 'other' | undefined> {
  try {
    const found = await lstat(path)
    return found.isFile() ? 'file' : found.isDirectory() ? 'directory' : 'other'
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Makes a folder for what is to be written; refuses to go through anything that is not a plain folder. */
export async function makeLocalFolder(path: string): Promise<void> {
  const kind = await kindOf(path)
  if (kind === 'directory') return
  if (kind !== undefined) throw new CliError('exists', 'something that is not a folder is in the way')
  await mkdir(path)
}

/**
 * Why a name from the network may not become a local one, or undefined. Names were checked when they came; they are
 * looked at once more before they touch a file system.
 */
export function localNameFault(name: string): string | undefined {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) return 'its name leads elsewhere'
  if (process.platform === 'win32' && /[<>:"\\|?*]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(name))
    return 'this system has no such names'
  return undefined
}
