import { constants } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { byteLengthOf } from '../util/bytes.ts'
import { Limiter } from '../util/limiter.ts'
import { BLOCK_WRITES_MAX } from './constants.ts'

/**
 * A direct write must be aligned to this in memory, in the file and in length. No file system requires a larger
 * alignment.
 */
const ALIGNMENT_BYTES = 4096
/** Large enough that a block of the usual size needs only one write. */
const SLOT_BYTES = (1 << 20) + ALIGNMENT_BYTES
const WASM_PAGE_BYTES = 64 << 10

// Node's type declarations do not include this.
declare const WebAssembly: { Memory: new (pages: { initial: number; maximum: number }) => { buffer: ArrayBuffer } }

/**
 * Writes new files past the page cache (`O_DIRECT`, open(2)). A block is rarely read soon after it was put, and filling
 * fresh pages of the cache costs more than the disk does (SPEC.md has the measurements). The bytes are copied into a
 * few aligned slots that are reused, so the caller's buffers are soon free and no fresh memory is touched.
 */
export class DirectFiles {
  readonly #slots = new Limiter(BLOCK_WRITES_MAX)
  /**
   * The free slots. They are parts of one WebAssembly memory, because its pages are aligned. It is allocated at the
   * first write.
   */
  #free: Uint8Array[] | undefined
  #isSupported = constants.O_DIRECT !== undefined && process.platform === 'linux'

  /**
   * Writes a new file and syncs its data, like `Files.writeNew`. Returns false if this file system does not support
   * direct writes. In that case the file does not exist, and later calls return false immediately.
   */
  async write(path: string, parts: readonly Uint8Array[], mode: number): Promise<boolean> {
    if (!this.#isSupported) return false
    try {
      await this.#write(path, parts, mode)
      return true
    } catch (error) {
      // Some file systems refuse to open a file for direct writes, and others refuse the write itself. In the second
      // case the file has to be removed.
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
      // After its filled part, the slot holds bytes of another block, which is also sealed. `truncate` cuts them off.
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
