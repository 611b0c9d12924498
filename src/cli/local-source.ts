import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { type FileHandle, lstat, open } from 'node:fs/promises'
import { CliError } from '../terminal/errors.ts'

const READ_BYTES = 256 << 10

/** What the file system says about a file. */
export interface LocalFacts {
  size: number
  /** Not a valid date if the file system has a time that no `Date` can hold. */
  modified: Date
  /** The nine permission bits. */
  mode: number
}

/** A file that is being read, and its facts at that moment. */
export interface LocalRead {
  facts: LocalFacts
  /** All bytes of a small file, since a stream costs more; a stream for a larger one. */
  bytes: Uint8Array | AsyncIterable<Uint8Array>
}

/** A local file that cannot be stored, whatever the node says. */
export class LocalError extends CliError {
  override readonly name: string = 'LocalError'
}

/** A file was written to while it was read. The bytes that were read may be a mixture that it never held. */
export class LocalChangedError extends LocalError {
  override readonly name = 'LocalChangedError'

  constructor() {
    super('changed', 'the file changes while it is read: put it again once nothing writes to it')
  }
}

export interface ReadOptions {
  /** Larger files are read as a stream. */
  bytesAtOnceMax: number
  /**
   * What to do with a file that changes: `throw`, or take the bytes that it had at the start, provided that it has only
   * been appended to, as a log is. To know that, the bytes are read twice.
   */
  onChange: 'throw' | 'take-start'
}

/** Returns the facts about a file. Links are not followed. */
export async function factsOfFile(path: string): Promise<LocalFacts> {
  return factsOfStats(await lstat(path))
}

export function factsOfStats({ size, mtime, mode }: Stats): LocalFacts {
  return { size, modified: mtime, mode: mode & 0o777 }
}

/**
 * Reads a file up to the size that it has at the start, so that reading ends even if the file grows for ever. Throws a
 * `LocalChangedError`, at once or at the end of the stream, if the file has changed since `found` (a small file) or while
 * it was read. Links are not followed.
 */
export async function readLocal(path: string, found: LocalFacts, options: ReadOptions): Promise<LocalRead> {
  if (found.size <= options.bytesAtOnceMax) return { facts: found, bytes: readSmall(path, found, options) }
  const handle = await open(path, OPEN_FLAGS)
  try {
    const now = await handle.stat()
    if (!now.isFile()) throw new LocalChangedError()
    const facts = factsOfStats(now)
    return { facts, bytes: streamOf(handle, facts, options) }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** If a pipe has replaced the file, opening it must not block. */
const OPEN_FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)

/**
 * Reads a small file synchronously. It takes four calls of the system, and a hop to another thread and back takes longer
 * than each of them.
 */
function readSmall(path: string, found: LocalFacts, { onChange }: ReadOptions): Uint8Array {
  const file = openSync(path, OPEN_FLAGS)
  try {
    // One byte more than expected shows whether the file has grown.
    const bytes = Buffer.allocUnsafe(found.size + 1)
    const length = readInto(file, bytes, found.size)
    const now = fstatSync(file)
    if (length === found.size && isUnchanged(now, found)) return bytes.subarray(0, length)
    if (onChange === 'throw' || length < found.size) throw new LocalChangedError()
    const start = bytes.subarray(0, found.size)
    assertOnlyGrew(now, found.size)
    const again = Buffer.allocUnsafe(found.size)
    readInto(file, again)
    if (!again.equals(start)) throw new LocalChangedError()
    return start
  } finally {
    closeSync(file)
  }
}

/**
 * Fills a buffer from the start of a file, until it has `enough` bytes or the file ends. Returns the number of bytes that
 * it has.
 */
function readInto(file: number, bytes: Buffer, enough: number = bytes.byteLength): number {
  let length = 0
  do {
    const bytesRead = readSync(file, bytes, length, bytes.byteLength - length, length)
    if (bytesRead === 0) break
    length += bytesRead
  } while (length < enough)
  return length
}

/** Yields the bytes of a file, throws at their end if the file has changed meanwhile, and closes the file. */
async function* streamOf(handle: FileHandle, found: LocalFacts, { onChange }: ReadOptions): AsyncGenerator<Buffer> {
  try {
    const hash = onChange === 'take-start' ? createHash('sha256') : undefined
    let length = 0
    for await (const bytes of piecesOf(handle, found.size)) {
      hash?.update(bytes)
      length += bytes.byteLength
      yield bytes
    }
    if (length === found.size && isUnchanged(await handle.stat(), found)) return
    if (hash === undefined || length < found.size) throw new LocalChangedError()
    assertOnlyGrew(await handle.stat(), found.size)
    const again = createHash('sha256')
    for await (const bytes of piecesOf(handle, found.size)) again.update(bytes)
    if (!again.digest().equals(hash.digest())) throw new LocalChangedError()
  } finally {
    await handle.close()
  }
}

async function* piecesOf(handle: FileHandle, size: number): AsyncGenerator<Buffer> {
  if (size === 0) return
  yield* handle.createReadStream({ start: 0, end: size - 1, highWaterMark: READ_BYTES, autoClose: false })
}

function isUnchanged(now: Stats, { size, modified }: LocalFacts): boolean {
  return now.isFile() && now.size === size && Object.is(now.mtime.getTime(), modified.getTime())
}

/** Throws if a file yields more bytes than its stated size, as the files of /proc do. */
function assertOnlyGrew(now: Stats, size: number): void {
  if (!now.isFile() || now.size < size) throw new LocalChangedError()
  if (size === 0 && now.size === 0)
    throw new LocalError(
      'invalid',
      'its bytes are made while it is read (as in /proc): use "dfs put - PATH" with a pipe'
    )
}
