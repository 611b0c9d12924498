import type { IncomingMessage, ServerResponse } from 'node:http'
import { SMALL_FILE_BYTES_MAX } from '../contract/constants.ts'
import { JSON_BYTES_MAX } from './constants.ts'
import { HttpError } from './errors.ts'

/**
 * Hands the body of a request to `use`: as a stream, or in one piece if it is known to be small, since a stream costs more
 * than all else that becomes of a small file. If `use` fails, or needs no more, the rest is read and thrown away:
 * cutting the connection instead would lose the answer that says why.
 */
export async function withBody<T>(
  request: IncomingMessage,
  use: (body: Buffer | AsyncIterable<Buffer>) => Promise<T>
): Promise<T> {
  const length = request.headers['content-length']
  if (length !== undefined && Number(length) <= SMALL_FILE_BYTES_MAX) return use(await whole(request))
  const body = bytesOf(request)
  try {
    return await use(body)
  } finally {
    // Not awaited: if it waits for bytes that never come, so would we.
    void body.return(undefined).catch(() => {})
  }
}

function whole(request: IncomingMessage): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const parts: Buffer[] = []
  request.on('data', part => parts.push(part))
  request.once('end', () => resolve(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)))
  request.once('error', reject)
  request.once('close', () => reject(new Error('the request broke off')))
  return promise
}

async function* bytesOf(request: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    yield* request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>
  } finally {
    request.resume()
  }
}

/** The body of a small JSON request. Errors: 413 if it is too large, 400 if it is not JSON. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const parts: Uint8Array[] = []
  let length = 0
  await withBody(request, async body => {
    for await (const part of body instanceof Uint8Array ? [body] : body) {
      length += part.byteLength
      if (length > JSON_BYTES_MAX) throw new HttpError(413, 'over-limit', 'the request is too large')
      parts.push(part)
    }
  })
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'))
  } catch {
    throw new HttpError(400, 'invalid', 'the request is not JSON')
  }
}

/** A signal that fires when the other side goes away before it has its answer. */
export function goneSignal(response: ServerResponse): AbortSignal {
  const controller = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) controller.abort()
  })
  return controller.signal
}
