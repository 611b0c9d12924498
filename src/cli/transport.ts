import { Agent, type IncomingMessage, type RequestOptions, request } from 'node:http'
import { errorSchema } from '../contract/errors.ts'
import { decodeLines } from '../contract/ndjson.ts'
import { writeTo } from '../flow/write.ts'
import { CliError } from '../terminal/errors.ts'

/** More requests than this at once wait for each other. */
const SOCKETS_MAX = 64

/** No daemon answers, or it has stopped answering: nothing else that is asked of it will succeed either. */
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

/** HTTP to one daemon over connections that are kept. */
export class Transport {
  readonly #target: Target
  readonly #token: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX })

  constructor(target: Target, token: string) {
    this.#target = target
    this.#token = token
  }

  close(): void {
    this.#agent.destroy()
  }

  /**
   * Sends a request and gives the answer once it begins. Errors: a `CliError` with the daemon's own code if it refuses,
   * a `NoAnswerError` if it cannot be reached, and whatever the body throws.
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
    outgoing.on('error', error => answer.reject(noAnswer(error)))
    if (body === undefined) outgoing.end()
    else if (body instanceof Uint8Array) outgoing.end(body)
    else {
      // A body may be long in coming; a refusal need not wait for it.
      outgoing.flushHeaders()
      const pump = async (): Promise<void> => {
        for await (const piece of body) await writeTo(outgoing, piece)
        outgoing.end()
      }
      pump().catch(error => {
        // A connection that broke off has said so itself.
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
      // A refusal may come before all was sent. The rest is not wanted, and the connection good for nothing more.
      if (!outgoing.writableFinished) outgoing.destroy()
    }
  }
}

/** The whole of a small answer. */
export async function readJson(response: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = []
  try {
    for await (const part of response as AsyncIterable<Buffer>) parts.push(part)
  } catch (error) {
    throw noAnswer(error)
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'))
  } catch {
    throw new CliError('io', 'what answers there is no dfs-node')
  }
}

/** An answer of one JSON value a line, as they come. */
export async function* readLines(response: IncomingMessage): AsyncGenerator<unknown> {
  try {
    yield* decodeLines(response.setEncoding('utf8') as AsyncIterable<string>)
  } catch (error) {
    throw noAnswer(error)
  }
}

/** What to report of a connection that failed; an abort stays one. */
export function noAnswer(error: unknown): Error {
  if ((error as Error).name === 'AbortError') return error as Error
  return new NoAnswerError('the node does not answer: is dfs-node running on this data directory?', { cause: error })
}

async function refusal(response: IncomingMessage): Promise<Error> {
  const parsed = errorSchema.safeParse(await readJson(response))
  if (!parsed.success) return new CliError('io', `the node answered with status ${response.statusCode}`)
  return new CliError(parsed.data.error.code, parsed.data.error.message)
}
