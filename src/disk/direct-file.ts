import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { takeBuffer } from '../util/buffer-pool.ts'
import { byteLengthOf } from '../util/bytes.ts'
import { Limiter } from '../util/limiter.ts'
import {
  PAGE_BYTES,
  PAST_CACHE_BYTES_MIN,
  RECENT_READS_MAX,
  SLOT_BYTES,
  SLOTS_AT_ONCE,
  SLOTS_MAX
} from './constants.ts'

const WASM_PAGE_BYTES = 64 << 10

// Node's type declarations do not include this.
declare const WebAssembly: { Memory: new (pages: { initial: number; maximum: number }) => { buffer: ArrayBuffer } }

/** The aligned buffers through which bytes pass, and whether the file system supports direct reads and writes. */
export class DirectSlots {
  readonly #limiter = new Limiter(SLOTS_MAX)
  /** The free slots. They are parts of one WebAssembly memory, because its pages are aligned. */
  #free: Uint8Array[] | undefined
  isSupported: boolean = constants.O_DIRECT !== undefined && process.platform === 'linux'

  /** Takes a slot. The caller must return it with `give`. */
  async take(): Promise<{ slot: Uint8Array; give: () => void }> {
    const release = await this.#limiter.acquire()
    this.#free ??= alignedSlots(SLOTS_MAX)
    const slot = this.#free.pop() as Uint8Array
    const give = (): void => {
      this.#free?.push(slot)
      release()
    }
    return { slot, give }
  }
}

function alignedSlots(count: number): Uint8Array[] {
  const pages = Math.ceil((count * SLOT_BYTES) / WASM_PAGE_BYTES)
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages })
  return Array.from({ length: count }, (_, i) => new Uint8Array(buffer, i * SLOT_BYTES, SLOT_BYTES))
}

/**
 * A file that is read and written past the page cache (`O_DIRECT`, open(2)), because filling fresh pages of the cache
 * costs more than the disk does (SPEC.md has the measurements), and a large block is rarely read twice in a row. The
 * bytes are copied through a few aligned slots that are reused. Where the file system refuses a direct read or write, at
 * the beginning or later, this file uses the page cache.
 */
export class DirectFile {
  readonly #slots: DirectSlots
  /** The file, opened for the page cache. */
  readonly #plain: FileHandle
  #direct: FileHandle | undefined
  /** The offsets of the last reads, oldest first. */
  readonly #recent = new Set<number>()

  private constructor(slots: DirectSlots, plain: FileHandle, direct: FileHandle | undefined) {
    this.#slots = slots
    this.#plain = plain
    this.#direct = direct
  }

  static async open(path: string, flags: number, { slots, mode }: { slots: DirectSlots; mode?: number }) {
    const plain = await open(path, flags, mode)
    try {
      return new DirectFile(slots, plain, await openDirect(path, flags, slots))
    } catch (error) {
      // The original error is thrown. An error of `close` would add nothing to it.
      await plain.close().catch(() => {})
      throw error
    }
  }

  /** For everything but reads and writes. */
  get handle(): FileHandle {
    return this.#plain
  }

  /** Returns `length` bytes from `offset`, or fewer if the file ends earlier, in a buffer that belongs to the caller. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = takeBuffer(length)
    if (length < PAST_CACHE_BYTES_MIN || this.#isRepeated(offset)) return this.#readPlain(bytes, offset)
    return (await this.#orRefused(handle => this.#readDirect(handle, bytes, offset))) ?? this.#readPlain(bytes, offset)
  }

  /** Writes parts one after another from `position` on. Nothing else may write to this range meanwhile. */
  async write(parts: readonly Uint8Array[], position: number): Promise<void> {
    const isAligned = (position | byteLengthOf(parts)) % PAGE_BYTES === 0
    if (isAligned && (await this.#orRefused(handle => this.#writeDirect(handle, parts, position))) === true) return
    await writeAllOf(this.#plain, parts, position)
  }

  async close(): Promise<void> {
    await Promise.all([this.#plain.close(), this.#direct?.close()])
  }

  /** Returns undefined if direct reads and writes are not supported. The caller then reads or writes everything again. */
  async #orRefused<T>(work: (handle: FileHandle) => Promise<T>): Promise<T | undefined> {
    const handle = this.#direct
    if (handle === undefined || !this.#slots.isSupported) return undefined
    try {
      return await work(handle)
    } catch (error) {
      if (!isRefusal(error)) throw error
      this.#slots.isSupported = false
      return undefined
    }
  }

  #isRepeated(offset: number): boolean {
    const isRepeated = this.#recent.delete(offset)
    this.#recent.add(offset)
    for (const oldest of this.#recent) if (this.#recent.size > RECENT_READS_MAX) this.#recent.delete(oldest)
    return isRepeated
  }

  async #readPlain(bytes: Buffer, offset: number): Promise<Uint8Array> {
    return bytes.subarray(0, await readInto(this.#plain, bytes, offset))
  }

  async #readDirect(handle: FileHandle, bytes: Buffer, offset: number): Promise<Uint8Array> {
    const { slot, give } = await this.#slots.take()
    try {
      let filled = 0
      while (filled < bytes.byteLength) {
        const at = offset + filled
        const start = at - (at % PAGE_BYTES)
        const wanted = roundUp(Math.min(slot.byteLength, at - start + bytes.byteLength - filled))
        const { bytesRead } = await handle.read(slot, 0, wanted, start)
        const piece = slot.subarray(at - start, Math.min(bytesRead, at - start + bytes.byteLength - filled))
        if (piece.byteLength === 0) break
        bytes.set(piece, filled)
        filled += piece.byteLength
      }
      return bytes.subarray(0, filled)
    } finally {
      give()
    }
  }

  /** Fills several slots and writes them with one call, because each call is a hop to another thread. */
  async #writeDirect(handle: FileHandle, parts: readonly Uint8Array[], position: number): Promise<true> {
    const pieces = piecesOf(parts)
    for (let at = position, left = byteLengthOf(parts); left > 0; ) {
      const taken: Array<{ slot: Uint8Array; give: () => void }> = []
      try {
        const filled: Uint8Array[] = []
        while (left > 0 && filled.length < SLOTS_AT_ONCE) {
          const next = await this.#slots.take()
          taken.push(next)
          const bytes = next.slot.subarray(0, pieces(next.slot))
          filled.push(bytes)
          left -= bytes.byteLength
        }
        await writeAllOf(handle, filled, at)
        at += byteLengthOf(filled)
      } finally {
        for (const { give } of taken) give()
      }
    }
    return true
  }
}

/** Returns a function that copies the next bytes of the parts into a buffer, and returns their number. */
function piecesOf(parts: readonly Uint8Array[]): (into: Uint8Array) => number {
  let part = 0
  let taken = 0
  return into => {
    let filled = 0
    while (filled < into.byteLength && part < parts.length) {
      const bytes = parts[part] as Uint8Array
      const piece = bytes.subarray(taken, taken + into.byteLength - filled)
      into.set(piece, filled)
      filled += piece.byteLength
      taken += piece.byteLength
      if (taken < bytes.byteLength) continue
      part++
      taken = 0
    }
    return filled
  }
}

async function openDirect(path: string, flags: number, slots: DirectSlots): Promise<FileHandle | undefined> {
  if (!slots.isSupported) return undefined
  try {
    return await open(path, flags | constants.O_DIRECT)
  } catch (error) {
    if (!isRefusal(error)) throw error
    slots.isSupported = false
    return undefined
  }
}

/** Some file systems refuse to open a file for direct use, and others refuse the read or write itself. */
function isRefusal(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'EINVAL' || code === 'ENOTSUP' || code === 'EOPNOTSUPP'
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES
}

/** Fills the buffer from the file. Returns the number of bytes that it read, which is smaller if the file ends earlier. */
export async function readInto(handle: FileHandle, buffer: Uint8Array, offset: number): Promise<number> {
  let filled = 0
  while (filled < buffer.byteLength) {
    const { bytesRead } = await handle.read(buffer, filled, buffer.byteLength - filled, offset + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return filled
}

/** Writes buffers one after another at `offset`. */
async function writeAllOf(handle: FileHandle, buffers: readonly Uint8Array[], offset: number): Promise<void> {
  const { bytesWritten } = await handle.writev(buffers, offset)
  // The rest of a write that ended early. Past the page cache it ended at a page, so the rest is aligned too.
  let end = 0
  for (const buffer of buffers) {
    const from = Math.max(0, bytesWritten - end)
    if (from < buffer.byteLength) await writeAll(handle, buffer.subarray(from), offset + end + from)
    end += buffer.byteLength
  }
}

/** Writes all bytes, at the current end of the file or at `offset`. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array, offset?: number): Promise<void> {
  let written = 0
  while (written < bytes.byteLength) {
    const at = offset === undefined ? null : offset + written
    const { bytesWritten } = await handle.write(bytes, written, bytes.byteLength - written, at)
    written += bytesWritten
  }
}
