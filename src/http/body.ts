import type { IncomingMessage, ServerResponse } from 'node:http'
import { SMALL_FILE_BYTES_MAX } from '../contract/constants.ts'
import { Limiter } from '../util/limiter.ts'
import { JSON_BYTES_MAX, SMALL_BODIES_BYTES_MAX } from './constants.ts'
import { HttpError } from './errors.ts'
import type { LogError } from './route-context.ts'

type UseBody<T> = (body: Buffer | AsyncIterable<Buffer>) => Promise<T>

/**
 * Passes the body of a request with files to `use`. If there are many small bodies at once, some wait until there is
 * memory for them.
 */
export function withBody<T>(request: IncomingMessage, log: LogError, use: UseBody<T>): Promise<T> {
  const bytes = smallLengthOf(request)
  if (bytes === undefined) return withAnyBody(request, log, use)
  return smallBodies.run(() => withAnyBody(request, log, use), { slots: bytes, signal: brokenOff(request) })
}

/** Returns the length of a body that is known to be small. */
function smallLengthOf({ headers }: IncomingMessage): number | undefined {
  const length = headers['content-length']
  return length !== undefined && Number(length) <= SMALL_FILE_BYTES_MAX ? Number(length) : undefined
}

/**
 * Passes a body to `use`: a small one in one piece, because a stream would cost more than everything else that is done
 * for a small file, and others as a stream. If `use` fails, or needs no more of the body, the rest is read and dropped,
 * because cutting the connection would lose the answer that says why.
 */
async function withAnyBody<T>(request: IncomingMessage, log: LogError, use: UseBody<T>): Promise<T> {
  if (smallLengthOf(request) !== undefined) return use(await readWhole(request))
  const body = piecesOf(request)
  try {
    return await use(body)
  } finally {
    // This is not awaited, because the answer must not wait for a body whose bytes may never come.
    void body.return(undefined).catch(error => log('the rest of a body could not be dropped', error))
  }
}

/** A slot for each byte. */
const smallBodies = new Limiter(SMALL_BODIES_BYTES_MAX)

/** Returns a signal that fires when the client is gone before its body has come. */
function brokenOff(request: IncomingMessage): AbortSignal {
  const controller = new AbortController()
  request.once('close', () => {
    if (!request.complete) controller.abort(new Error('the request broke off'))
  })
  return controller.signal
}

function readWhole(request: IncomingMessage): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const parts: Buffer[] = []
  request.on('data', part => parts.push(part))
  request.once('end', () => resolve(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)))
  request.once('error', reject)
  request.once('close', () => reject(new Error('the request broke off')))
  return promise
}

async function* piecesOf(request: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    yield* request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>
  } finally {
    request.resume()
  }
}

/** Reads the body of a small JSON request. Throws an `HttpError`: 413 if it is too large, 400 if it is not JSON. */
export async function readJson(request: IncomingMessage, log: LogError): Promise<unknown> {
  const parts: Uint8Array[] = []
  let length = 0
  // It holds its memory for a moment only, so it does not wait behind files.
  await withAnyBody(request, log, async body => {
    for await (const part of body instanceof Uint8Array ? [body] : body) {
      length += part.byteLength
      if (length > JSON_BYTES_MAX)
        throw new HttpError(
          413,
          'over-limit',
          `the body is too large: a JSON request has at most ${JSON_BYTES_MAX} bytes`
        )
      parts.push(part)
    }
  })
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'))
  } catch {
    // The error has no `cause`, because the message of JSON.parse quotes the input.
    throw new HttpError(400, 'invalid', 'the body is not JSON')
  }
}

/** Returns a signal that fires when the client disconnects before it has received its answer. */
export function goneSignal(response: ServerResponse): AbortSignal {
  const controller = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) controller.abort()
  })
  return controller.signal
}
