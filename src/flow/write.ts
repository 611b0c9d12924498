import { once } from 'node:events'
import type { Writable } from 'node:stream'

/**
 * Writes a piece of a body and resolves when the stream can take more. Throws an `AbortError` once the stream is
 * destroyed.
 */
export async function writeTo(stream: Writable, piece: Uint8Array | string): Promise<void> {
  if (stream.destroyed) throw new DOMException('the other side went away', 'AbortError')
  if (stream.write(piece)) return
  const ended = new AbortController()
  const { signal } = ended
  try {
    await Promise.race([once(stream, 'drain', { signal }), once(stream, 'close', { signal })])
  } finally {
    ended.abort()
  }
}

/**
 * Writes a piece of a body and resolves once the system has taken all of it, so that its memory may be used again.
 * Throws an `AbortError` once the stream is destroyed.
 */
export async function flushTo(stream: Writable, piece: Uint8Array): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onClose = (): void => reject(new DOMException('the other side went away', 'AbortError'))
  if (stream.destroyed) onClose()
  else stream.once('close', onClose).write(piece, error => (error == null ? resolve() : reject(error)))
  try {
    await promise
  } finally {
    stream.off('close', onClose)
  }
}
