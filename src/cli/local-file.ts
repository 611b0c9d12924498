import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, rename, rm, stat, utimes } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CliError } from '../terminal/errors.ts'

const READ_BYTES = 256 << 10
const TEMP_NAME_CHARACTERS_MAX = 32

/**
 * Writes a local file from a stream: under a name of its own beside the target, which it takes only when all of it is
 * there. What breaks off leaves nothing; what was there stays until then.
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
 * The bytes of a local file: as they are if they are few, which saves a stream a file, else as a stream. It need not have
 * the size any more that it had when it was found; but one that changes under the stream ends it with a `CliError`, since
 * what was read by then is a content that the file never had. Links are not followed.
 */
export async function readLocal(
  path: string,
  size: number,
  bytesAtOnceMax: number
): Promise<Uint8Array | AsyncIterable<Buffer>> {
  const handle = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0))
  if (size > bytesAtOnceMax) return steady(handle)
  // One more than expected, to see whether it has grown.
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

/** All bytes of a file, if it is the same at the end as it was at the beginning. Closes it. */
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
      throw new CliError('changed', 'it changed while it was read')
  } finally {
    await handle.close()
  }
}

/** What is at a local path: `other` is neither file nor folder. A link is `other` too, unless it is to be followed. */
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
export function localNameFault(name: string, platform: NodeJS.Platform = process.platform): string | undefined {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) return 'its name leads elsewhere'
  if (platform === 'win32' && /[<>:"\\|?*\p{Cc}]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/iu.test(name))
    return 'this system has no such names'
  return undefined
}

// Short enough for every file system, whatever the name; hidden, and unlike any that is there.
function tempBeside(target: string): string {
  const start = [...basename(target)].slice(0, TEMP_NAME_CHARACTERS_MAX).join('')
  return join(dirname(target), `.${start}.dfs-${randomBytes(4).toString('hex')}`)
}
