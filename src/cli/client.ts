import { readFile } from 'node:fs/promises'
import { Agent, type IncomingMessage, type RequestOptions, request } from 'node:http'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { z } from 'zod'
import type { EvictResult, ListItem, Peer, PutResult, RemoveResult, Stat, Status } from '../index.ts'
import { CliError } from './exit.ts'

const apiSchema = z.object({ url: z.string(), socket: z.string(), token: z.string() })
const errorSchema = z.object({ error: z.object({ code: z.string(), message: z.string() }) })
const transferSchema = z.object({
  done: z.boolean(),
  from: z.array(z.object({ peerId: z.string(), bytes: z.number() })),
  error: z.object({ code: z.string(), message: z.string() }).optional()
})

const SOCKETS_MAX = 64

/** Where a daemon answers, and with which token. */
export interface Where {
  dataDir?: string | undefined
  api?: string | undefined
  tokenFile?: string | undefined
}

export interface PutFields {
  /** Bytes of the body, where they are known; else it is sent in chunks. */
  size?: number | undefined
  modified?: Date | undefined
  mode?: number | undefined
  type?: string | undefined
  noClobber?: boolean | undefined
  replicas?: string | undefined
  ack?: string | undefined
}

/** A file on its way from the daemon. */
export interface Download {
  size: number
  modified: Date
  mode: number | undefined
  /** Bytes as they come. Throws the daemon's own reason if the transfer breaks off. */
  body: AsyncIterable<Buffer>
  /** Who delivered; asked for after the body has ended. */
  from(): Promise<Array<{ peerId: string; bytes: number }>>
}

/** Speaks to the daemon's HTTP API: through the socket beside its data, or at an address. */
export class Client {
  readonly #target: Pick<RequestOptions, 'socketPath' | 'host' | 'port'>
  readonly #token: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX })

  private constructor(target: Pick<RequestOptions, 'socketPath' | 'host' | 'port'>, token: string) {
    this.#target = target
    this.#token = token
  }

  static async open({ dataDir, api, tokenFile }: Where): Promise<Client> {
    if (api !== undefined) {
      if (tokenFile === undefined) throw new CliError('usage', '--api goes with --token-file')
      const url = new URL(api)
      return new Client({ host: url.hostname, port: url.port }, (await readFile(tokenFile, 'utf8')).trim())
    }
    let text: string
    try {
      text = await readFile(join(dataDir as string, 'api.json'), 'utf8')
    } catch {
      throw new CliError('unreachable', 'no node runs on this data directory: start dfs-node, or give --data-dir')
    }
    const { socket, token } = apiSchema.parse(JSON.parse(text))
    return new Client({ socketPath: socket }, token)
  }

  close(): void {
    this.#agent.destroy()
  }

  async put(path: string, body: AsyncIterable<Uint8Array>, fields: PutFields, signal: AbortSignal): Promise<PutResult> {
    const { size, modified, mode, type, noClobber, replicas, ack } = fields
    const query = new URLSearchParams({
      ...(modified === undefined ? {} : { modified: modified.toISOString() }),
      ...(mode === undefined ? {} : { mode: mode.toString(8) }),
      ...(noClobber === true ? { noClobber: 'true' } : {}),
      ...(replicas === undefined ? {} : { replicas }),
      ...(ack === undefined ? {} : { ack })
    })
    const url = `/v1/files${encodePath(path)}?${query}`
    const headers = {
      'content-type': type ?? 'application/octet-stream',
      ...(size === undefined ? {} : { 'content-length': String(size) })
    }
    return (await readJson(await this.#send('PUT', url, { body, headers, signal }))) as PutResult
  }

  async get(
    path: string,
    range: { from: number; to: number | undefined } | undefined,
    signal: AbortSignal
  ): Promise<Download> {
    const headers = range === undefined ? {} : { range: `bytes=${range.from}-${range.to ?? ''}` }
    const response = await this.#send('GET', `/v1/files${encodePath(path)}`, { headers, signal })
    const id = String(response.headers['dfs-transfer'])
    const size = Number(response.headers['content-length'])
    const mode = response.headers['dfs-mode']
    return {
      size,
      modified: new Date(String(response.headers['dfs-modified'])),
      mode: typeof mode === 'string' ? Number.parseInt(mode, 8) : undefined,
      body: this.#body(response, size, id),
      from: async () => (await this.#transfer(id)).from
    }
  }

  async *list(path: string, recursive: boolean, signal: AbortSignal): AsyncGenerator<ListItem> {
    const response = await this.#send('GET', `/v1/list${encodePath(path)}?recursive=${recursive}`, { signal })
    let rest = ''
    response.setEncoding('utf8')
    for await (const text of response as AsyncIterable<string>) {
      const lines = (rest + text).split('\n')
      rest = lines.pop() as string
      for (const line of lines) {
        const item: unknown = JSON.parse(line)
        const failed = errorSchema.safeParse(item)
        if (failed.success) throw new CliError(failed.data.error.code, failed.data.error.message)
        yield item as ListItem
      }
    }
  }

  stat(path: string): Promise<Stat> {
    return this.#call('GET', `/v1/stat${encodePath(path)}`) as Promise<Stat>
  }

  async mkdir(path: string): Promise<{ path: string }> {
    return (await this.#call('POST', `/v1/mkdir${encodePath(path)}`)) as { path: string }
  }

  async move(from: string, to: string, noClobber: boolean): Promise<{ from: string; path: string }> {
    return (await this.#call('POST', '/v1/move', { from, to, noClobber })) as { from: string; path: string }
  }

  async copy(
    from: string,
    to: string,
    noClobber: boolean,
    signal: AbortSignal
  ): Promise<{ from: string; path: string }> {
    return (await this.#call('POST', '/v1/copy', { from, to, noClobber }, signal)) as { from: string; path: string }
  }

  async remove(path: string, recursive: boolean): Promise<RemoveResult> {
    return (await this.#call('DELETE', `/v1/files${encodePath(path)}?recursive=${recursive}`)) as RemoveResult
  }

  async evict(path: string, signal: AbortSignal): Promise<EvictResult> {
    return (await this.#call('POST', `/v1/evict${encodePath(path)}`, undefined, signal)) as EvictResult
  }

  async status(): Promise<Status> {
    return (await this.#call('GET', '/v1/status')) as Status
  }

  async peers(): Promise<Peer[]> {
    return (await this.#call('GET', '/v1/peers')) as Peer[]
  }

  async #transfer(id: string): Promise<z.infer<typeof transferSchema>> {
    return transferSchema.parse(await this.#call('GET', `/v1/transfers/${id}`))
  }

  async *#body(response: IncomingMessage, size: number, id: string): AsyncGenerator<Buffer> {
    let length = 0
    let broken: unknown
    try {
      for await (const bytes of response as AsyncIterable<Buffer>) {
        length += bytes.byteLength
        yield bytes
      }
    } catch (error) {
      broken = error
    } finally {
      response.destroy()
    }
    if (broken === undefined && length === size) return
    if ((broken as Error | undefined)?.name === 'AbortError') throw broken
    const { error } = await this.#transfer(id).catch(() => ({ error: undefined }))
    throw new CliError(error?.code ?? 'unreachable', error?.message ?? 'the connection to the node broke off')
  }

  async #call(method: string, url: string, json?: unknown, signal?: AbortSignal): Promise<unknown> {
    const body = json === undefined ? undefined : [Buffer.from(JSON.stringify(json))]
    const headers = json === undefined ? {} : { 'content-type': 'application/json' }
    return readJson(await this.#send(method, url, { body, headers, signal }))
  }

  #send(
    method: string,
    path: string,
    options: {
      body?: AsyncIterable<Uint8Array> | Iterable<Uint8Array> | undefined
      headers?: Record<string, string>
      signal?: AbortSignal | undefined
    }
  ): Promise<IncomingMessage> {
    const { body, signal } = options
    const headers = { ...options.headers, authorization: `Bearer ${this.#token}` }
    return new Promise((resolve, reject) => {
      const outgoing = request({
        ...this.#target,
        agent: this.#agent,
        method,
        path,
        headers,
        ...(signal === undefined ? {} : { signal })
      })
      const sent = new AbortController()
      let sourceError: unknown
      outgoing.once('response', response => {
        // An answer before all was sent is a refusal: the rest is not wanted.
        if ((response.statusCode ?? 500) >= 400) sent.abort()
        checkStatus(response).then(resolve, reject)
      })
      outgoing.once('error', error => {
        if (!sent.signal.aborted) reject(sourceError ?? unreachable(error))
      })
      if (body === undefined) outgoing.end()
      else
        pipeline(body, outgoing, { signal: sent.signal }).catch(error => {
          sourceError = isConnectionError(error) ? undefined : error
          outgoing.destroy()
        })
    })
  }
}

async function checkStatus(response: IncomingMessage): Promise<IncomingMessage> {
  if ((response.statusCode ?? 500) < 400) return response
  const parsed = errorSchema.safeParse(await readJson(response).catch(() => undefined))
  if (!parsed.success) throw new CliError('io', `the node answered with status ${response.statusCode}`)
  throw new CliError(parsed.data.error.code, parsed.data.error.message)
}

async function readJson(response: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = []
  for await (const part of response as AsyncIterable<Buffer>) parts.push(part)
  return JSON.parse(Buffer.concat(parts).toString('utf8'))
}

function isConnectionError(error: unknown): boolean {
  const { code, name } = error as NodeJS.ErrnoException
  return (
    name === 'AbortError' ||
    (code !== undefined && ['EPIPE', 'ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE'].includes(code))
  )
}

function unreachable(error: Error): Error {
  if (error.name === 'AbortError') return error
  return new CliError('unreachable', 'the node does not answer: is dfs-node running on this data directory?')
}

/** Each part by itself, so that no character of a name means anything in a URL. */
function encodePath(path: string): string {
  const rooted = path.startsWith('/') ? path : `/${path}`
  if (!rooted.isWellFormed()) throw new CliError('invalid', 'a path is well-formed Unicode')
  return rooted.split('/').map(encodeURIComponent).join('/')
}
