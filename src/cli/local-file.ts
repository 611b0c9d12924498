import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, rename, rm, stat, utimes } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CliError } from '../terminal/errors.ts'

const READ_BYTES = 256 << 10
const TEMP_NAME_CHARACTERS_MAX = 32

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
  const temp = tempBeside(target)
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

/**
 * Reads a small file in one piece, because a stream costs more, and a larger file as a stream. It is fine if the size
 * of the file has changed since it was found. But if the file changes while the stream reads it, the stream throws a
 * `CliError`, because the file never had the content that was read. Links are not followed.
 */
export async function readLocal(
  path: string,
  size: number,
  bytesAtOnceMax: number
): Promise<Uint8Array | AsyncIterable<Buffer>> {
  const handle = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0))
  if (size > bytesAtOnceMax) return steady(handle)
  // One byte more than expected shows whether the file has grown.
  const bytes = Buffer.allocUnsafe(size + 1)
  try {
    let length = 0
    while (length < bytes.byteLength) {
      const { bytesRead } = await handle.read(bytes, length, bytes.byteLength - length, length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    if (length > size) return steady(handle)
    await handle.close()
    return bytes.subarray(0, length)
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Yields the bytes of a file, throws if the file changed meanwhile, and closes the file. */
async function* steady(handle: FileHandle): AsyncGenerator<Buffer> {
  try {
    const before = await handle.stat()
    let length = 0
    const stream = handle.createReadStream({ start: 0, highWaterMark: READ_BYTES, autoClose: false })
    for await (const bytes of stream as AsyncIterable<Buffer>) {
      length += bytes.byteLength
      yield bytes
    }
    const after = await handle.stat()
    if (after.size !== length || after.mtimeMs !== before.mtimeMs)
      throw new CliError('changed', 'the file changed while it was read: put it again')
  } finally {
    await handle.close()
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

// The temporary name is hidden, unique, and short enough for every file system.
function tempBeside(target: string): string {
  const start = [...basename(target)].slice(0, TEMP_NAME_CHARACTERS_MAX).join('')
  return join(dirname(target), `.${start}.dfs-${randomBytes(4).toString('hex')}`)
}
