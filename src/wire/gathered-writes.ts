import type { Writable } from 'node:stream'
import { returnBuffer, takeBuffer } from '../util/buffer-pool.ts'
import { SLICE_BYTES } from './constants.ts'

/** A slice, the yamux header before it, and the first bytes of what follows. */
const SCRATCH_BYTES = SLICE_BYTES + (16 << 10)

type Done = (error?: Error | null) => void

/**
 * Makes a TLS socket send what is written in one turn of the event loop in few writes. Yamux writes each header and each
 * slice by themselves, and each write costs a TLS record, a system call and a turn of the loop. If several writes wait,
 * Node joins them in memory that it allocates for that, which costs more than copying them into a buffer that is used
 * again. TLS has encrypted the bytes of a write by the time that its callback is called.
 */
export function gatherWrites(socket: Writable): void {
  // For bytes the encoding is this word, which the type declarations do not know.
  const writeOne = (bytes: Buffer, done: Done): void => socket._write(bytes, 'buffer' as BufferEncoding, done)
  socket._writev = (chunks, done) => {
    writeAll(
      chunks.map(({ chunk }) => chunk as Buffer),
      writeOne,
      done
    )
  }
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean
  let isCorked = false
  socket.write = (...args: unknown[]): boolean => {
    // While a write is under way, further ones wait for it and are joined anyway.
    if (!isCorked && socket.writableLength === 0) {
      isCorked = true
      socket.cork()
      queueMicrotask(() => {
        isCorked = false
        socket.uncork()
      })
    }
    return write(...args)
  }
}

/** Writes pieces in order, joined in a buffer. What is left of the last one is not copied if it fills a write by itself. */
function writeAll(pieces: Buffer[], writeOne: (bytes: Buffer, done: Done) => void, done: Done): void {
  const scratch = takeBuffer(SCRATCH_BYTES)
  let index = 0
  let taken = 0
  const next: Done = error => {
    if (error !== undefined && error !== null) return end(error)
    let filled = 0
    while (index < pieces.length && filled < SCRATCH_BYTES) {
      const piece = pieces[index] as Buffer
      if (filled === 0 && index === pieces.length - 1) {
        index++
        return writeOne(piece.subarray(taken), next)
      }
      const part = piece.subarray(taken, taken + SCRATCH_BYTES - filled)
      scratch.set(part, filled)
      filled += part.byteLength
      taken += part.byteLength
      if (taken < piece.byteLength) continue
      index++
      taken = 0
    }
    if (filled === 0) return end()
    writeOne(scratch.subarray(0, filled), next)
  }
  const end: Done = error => {
    returnBuffer(scratch)
    done(error)
  }
  next()
}
