import type { IncomingMessage, RequestOptions } from 'node:http'
import { type Failure, failureIn } from '../contract/errors.ts'
import { decodeLines } from '../contract/ndjson.ts'
import { writeTo } from '../flow/write.ts'
import { CliError } from '../terminal/errors.ts'

// An `import` of this module reads each of its exports, and one of them loads Node's whole `fetch` with HTTP/2 and TLS,
// which takes longer than the rest of the start of `dfs`.
const { Agent, request } = process.getBuiltinModule('node:http')

/** The most connections to the daemon. Further requests wait for a free one. */
const SOCKETS_MAX = 64

/** The daemon does not answer, or has stopped answering, so later requests would fail too. */
export class NoAnswerError extends CliError {
  override readonly name = 'NoAnswerError'

  constructor(message: string, options?: ErrorOptions) {
    super('unreachable', message, options)
  }
}

/** Where the daemon listens: a socket, or a port. */
export type Target = { socketPath: string } | { host: string; port: number }

export type Body = Uint8Array | AsyncIterable<Uint8Array>

export interface SendOptions {
  body?: Body | undefined
  headers?: Record<string, string>
  signal?: AbortSignal | undefined
}

/** HTTP requests to one daemon, over connections that are kept open. */
export class Transport {
  readonly #target: Target
  readonly #token: string
  readonly #place: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX })

  /** `place` is what the user gave: the data directory, or the address of the API. */
  constructor(target: Target, token: string, place: string) {
    this.#target = target
    this.#token = token
    this.#place = place
  }

  get isOnSocket(): boolean {
    return 'socketPath' in this.#target
  }

  close(): void {
    this.#agent.destroy()
  }

  /**
   * Sends a request and resolves once the answer begins. Throws a `CliError` with the daemon's code if the daemon
   * refuses, a `NoAnswerError` if the daemon cannot be reached, and any error that the body throws.
   */
  async send(method: string, path: string, options: SendOptions = {}): Promise<IncomingMessage> {
    const { body, headers, signal } = options
    const outgoing = request({
      ...this.#target,
      agent: this.#agent,
      method,
      path,
      headers: {
        ...headers,
        ...(body instanceof Uint8Array ? { 'content-length': String(body.byteLength) } : {}),
        authorization: `Bearer ${this.#token}`
      },
      ...(signal === undefined ? {} : { signal })
    } satisfies RequestOptions)
    const answer = Promise.withResolvers<IncomingMessage>()
    outgoing.once('response', answer.resolve)
    outgoing.on('error', error => answer.reject(noAnswer(error, this.#place)))
    if (body === undefined) outgoing.end()
    else if (body instanceof Uint8Array) outgoing.end(body)
    else {
      // Headers are sent first, because a body may be slow, and the daemon may refuse the request before the body
      // comes.
      outgoing.flushHeaders()
      const pump = async (): Promise<void> => {
        for await (const piece of body) await writeTo(outgoing, piece)
        outgoing.end()
      }
      pump().catch(error => {
        // If the connection broke off, its own error has already been reported.
        if (outgoing.destroyed) return
        answer.reject(error)
        outgoing.destroy()
      })
    }
    const response = await answer.promise
    if ((response.statusCode ?? 500) < 400) return response
    try {
      throw await refusal(response)
    } finally {
      // The daemon may refuse a request before the whole body has been sent. It does not want the rest of the body, so
      // the connection cannot be used again.
      if (!outgoing.writableFinished) outgoing.destroy()
    }
  }
}

/** Reads a small answer completely. */
export async function readJson(response: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = []
  try {
    for await (const part of response as AsyncIterable<Buffer>) parts.push(part)
  } catch (error) {
    throw noAnswer(error)
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'))
  } catch (cause) {
    throw notDfs({ cause })
  }
}

/** Reads an answer that has one JSON value per line, as the lines arrive. */
export async function* readLines(response: IncomingMessage): AsyncGenerator<unknown> {
  try {
    yield* decodeLines(response.setEncoding('utf8') as AsyncIterable<string>)
  } catch (error) {
    throw noAnswer(error)
  }
}

/** Returns the error for an answer that no dfs-node sends. */
export function notDfs(options?: ErrorOptions): CliError {
  return new CliError('io', 'the program that answered is not a dfs-node: check --data-dir or --api', options)
}

/** The message when a connection breaks before an answer has come. The node may have made the change by then. */
export const BROKE_OFF =
  'the connection to the node broke off: a change that was under way may have taken effect, so check before you repeat it'
/** The errors of the system that mean that no request has been sent. */
const NOBODY_LISTENS: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOENT', 'EACCES', 'EPERM', 'ENOTFOUND'])

/** Returns the error to report for a connection that failed. An abort stays an abort. */
function noAnswer(error: unknown, place?: string): Error {
  if ((error as Error).name === 'AbortError') return error as Error
  const isUnsent = place !== undefined && NOBODY_LISTENS.has((error as NodeJS.ErrnoException).code ?? '')
  return new NoAnswerError(isUnsent ? `${place}: no node answers here: start dfs-node on it` : BROKE_OFF, {
    cause: error
  })
}
/** Returns the error for a failure that the node reported. */
export function nodeError({ code, message, path }: Failure): CliError {
  return new CliError(code, message, { about: path })
}

async function refusal(response: IncomingMessage): Promise<Error> {
  const failure = failureIn(await readJson(response))
  if (failure === undefined) return new CliError('io', `the node answered with the HTTP status ${response.statusCode}`)
  return nodeError(failure)
}
