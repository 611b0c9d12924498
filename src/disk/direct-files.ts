import { constants } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { byteLengthOf } from '../util/bytes.ts'
import { Limiter } from '../util/limiter.ts'
import { BLOCK_WRITES_MAX } from './constants.ts'

/** What a direct write has to be a multiple of, in memory, in the file and in length: no file system asks for more. */
const ALIGNMENT_BYTES = 4096
/** A block of the usual size goes out in one write. */
const SLOT_BYTES = (1 << 20) + ALIGNMENT_BYTES
const WASM_PAGE_BYTES = 64 << 10

// The types of Node leave it out.
declare const WebAssembly: { Memory: new (pages: { initial: number; maximum: number }) => { buffer: ArrayBuffer } }

/**
 * New files past the page cache (`O_DIRECT`, open(2)). What is put is rarely read soon, and the cache's fresh pages cost
 * more than the disk does: SPEC.md has the pair of measurements. The bytes are gathered in a few aligned slots, so their
 * own buffers are free as soon as they are copied, and no memory is touched for the first time.
 */
export class DirectFiles {
  readonly #slots = new Limiter(BLOCK_WRITES_MAX)
  /** One region that is aligned, since a page of WebAssembly is; made at the first write. */
  #free: Uint8Array[] | undefined
  #isSupported = constants.O_DIRECT !== undefined && process.platform === 'linux'

  /**
   * Writes a new file and syncs its data, as `Files.writeNew` says. False if this file system knows no direct writes:
   * then there is no such file, and nobody need ask again.
   */
  async write(path: string, parts: readonly Uint8Array[], mode: number): Promise<boolean> {
    if (!this.#isSupported) return false
    try {
      await this.#write(path, parts, mode)
      return true
    } catch (error) {
      // Some refuse to open, some to write. Whatever has been made is taken back.
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error
      this.#isSupported = false
      await rm(path, { force: true })
      return false
    }
  }

  async #write(path: string, parts: readonly Uint8Array[], mode: number): Promise<void> {
    const { O_CREAT, O_EXCL, O_WRONLY, O_DIRECT } = constants
    const handle = await open(path, O_CREAT | O_EXCL | O_WRONLY | O_DIRECT, mode)
    try {
      await this.#slots.run(() => this.#writeAll(handle, parts))
      await handle.truncate(byteLengthOf(parts))
      await handle.datasync()
    } finally {
      await handle.close()
    }
  }

  async #writeAll(handle: FileHandle, parts: readonly Uint8Array[]): Promise<void> {
    this.#free ??= alignedSlots(BLOCK_WRITES_MAX)
    const slot = this.#free.pop() as Uint8Array
    try {
      let filled = 0
      let written = 0
      for (const part of parts) {
        for (let taken = 0; taken < part.byteLength; ) {
          const piece = part.subarray(taken, taken + SLOT_BYTES - filled)
          slot.set(piece, filled)
          taken += piece.byteLength
          filled += piece.byteLength
          if (filled < SLOT_BYTES) continue
          await writeAt(handle, slot, written)
          written += filled
          filled = 0
        }
      }
      if (filled === 0) return
      // What stands in the slot behind the end is cut off again: it is of another block, sealed as well.
      await writeAt(handle, slot.subarray(0, Math.ceil(filled / ALIGNMENT_BYTES) * ALIGNMENT_BYTES), written)
    } finally {
      this.#free.push(slot)
    }
  }
}

function alignedSlots(count: number): Uint8Array[] {
  const pages = Math.ceil((count * SLOT_BYTES) / WASM_PAGE_BYTES)
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages })
  return Array.from({ length: count }, (_, i) => new Uint8Array(buffer, i * SLOT_BYTES, SLOT_BYTES))
}

async function writeAt(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0
  while (written < bytes.byteLength) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.byteLength - written, position + written)
    written += bytesWritten
  }
}
