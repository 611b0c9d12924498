import { constants, type FileHandle, open } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { usage } from './errors.ts'

/** How often a pipe is asked for more. */
const POLL_MS = 50
/** How long a pipe may have no writer before its first byte. */
const WRITER_MS_MAX = 60_000

export interface BoundedReadOptions {
  /** The flag that names the file, for errors. */
  flag: string
  bytesMax: number
  /** Ends the wait for a pipe. */
  signal?: AbortSignal | undefined
}

/**
 * Reads a whole small file, which may also be a pipe (as in `--join <(ssh …)`) or a device. Returns undefined if it
 * holds more than `bytesMax`, and reads no further than that. Waits for a program that writes into a pipe. Throws a
 * usage error if none does for a minute, and the reason of the signal. Also throws the errors of the system.
 */
export async function readBounded(
  file: string,
  { flag, bytesMax, signal }: BoundedReadOptions
): Promise<Buffer | undefined> {
  // Otherwise opening a pipe would wait for a writer in a way that nothing can end, not even the end of the process.
  const handle = await open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  try {
    const isPipe = (await handle.stat()).isFIFO()
    const buffer = Buffer.alloc(bytesMax + 1)
    const untilMs = performance.now() + WRITER_MS_MAX
    let length = 0
    while (length <= bytesMax) {
      const bytes = await readSome(handle, buffer.subarray(length))
      const mayCome = bytes === 0 && isPipe && length === 0
      if (bytes === 0 && !mayCome) return buffer.subarray(0, length)
      if (mayCome && performance.now() > untilMs) throw usage(`${flag}: nobody has written into this pipe for a minute`)
      if (bytes === undefined || mayCome)
        await sleep(POLL_MS, undefined, { signal }).catch(() => signal?.throwIfAborted())
      length += bytes ?? 0
    }
    return undefined
  } finally {
    await handle.close()
  }
}

/** Returns the number of bytes that were read; undefined if there are none yet but may be some later. */
async function readSome(handle: FileHandle, into: Buffer): Promise<number | undefined> {
  try {
    return (await handle.read(into, 0, into.byteLength, null)).bytesRead
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined
    throw error
  }
}
