import { constants } from 'node:fs'
import { type FileHandle, lstat, open, stat } from 'node:fs/promises'
import { CliError } from '../terminal/errors.ts'

const READ_BYTES = 256 << 10

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

/** Returns a name from the network. Throws a `CliError` if it may not become a local name. */
export function safeName(name: string): string {
  const fault = localNameFault(name)
  if (fault !== undefined) throw new CliError('invalid', `${fault}: name a local target`)
  return name
}
