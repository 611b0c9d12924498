import { readFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { API_FILE, apiFileSchema } from '../contract/api-file.ts'
import { errorSchema } from '../contract/errors.ts'
import { type Transfer, transferSchema } from '../contract/transfer.ts'
import type { EvictResult, ListItem, Peer, PutResult, RemoveResult, Stat, Status } from '../index.ts'
import { CliError, usage } from '../terminal/errors.ts'
import { Bundle } from './bundle.ts'
import { type PutFields, type PutRules, queryOf, textsOf } from './put-fields.ts'
import { type Body, NoAnswerError, readJson, readLines, type SendOptions, type Target, Transport } from './transport.ts'

/** Where a daemon answers, and with which token: its data directory, or an address and a file with the token. */
export interface Where {
  dataDir?: string | undefined
  api?: string | undefined
  tokenFile?: string | undefined
}

/** A file on its way from the daemon. */
export interface Download {
  /** Bytes that will come. */
  size: number
  modified: Date
  mode: number | undefined
  /** Bytes as they come. Throws the daemon's own reason if the transfer breaks off. */
  body: AsyncIterable<Buffer>
  /** Who delivered; asked for after the body has ended. */
  from(): Promise<Array<{ peerId: string; bytes: number }>>
}

/** The daemon's HTTP API as verbs: what `dfs` is made of. Every failure of the daemon is a `CliError` with its code. */
export class Client {
  readonly #transport: Transport
  readonly #signal: AbortSignal | undefined

  private constructor(transport: Transport, signal: AbortSignal | undefined) {
    this.#transport = transport
    this.#signal = signal
  }

  /** `signal` holds for every call that is given none of its own. */
  static async open({ dataDir, api, tokenFile }: Where, signal?: AbortSignal): Promise<Client> {
    if (api !== undefined) {
      if (tokenFile === undefined) throw usage('--api goes with --token-file')
      const token = await readFile(tokenFile, 'utf8').catch(() => {
        throw usage('the file named by --token-file cannot be read')
      })
      return new Client(new Transport(targetOf(api), token.trim()), signal)
    }
    let text: string
    try {
      text = await readFile(join(dataDir as string, API_FILE), 'utf8')
    } catch (cause) {
      throw new NoAnswerError('no node runs on this data directory: start dfs-node, or give --data-dir', { cause })
    }
    const { socket, token } = apiFileSchema.parse(JSON.parse(text))
    return new Client(new Transport({ socketPath: socket }, token), signal)
  }

  close(): void {
    this.#transport.close()
  }

  async put(path: string, body: Body, fields: PutFields, signal?: AbortSignal): Promise<PutResult> {
    const { size } = fields
    const { modified, mode, type } = textsOf(fields)
    const query = queryOf(fields)
    if (modified !== undefined) query.set('modified', modified)
    if (mode !== undefined) query.set('mode', mode)
    const headers = {
      'content-type': type ?? 'application/octet-stream',
      ...(size === undefined ? {} : { 'content-length': String(size) })
    }
    const url = `/v1/files${encodePath(path)}?${query}`
    return (await readJson(await this.#send('PUT', url, { body, headers, signal }))) as PutResult
  }

  /**
   * Begins puts of small files that share one request, so many at once as there are: for thousands of them a request each
   * costs more than all else. To be ended.
   */
  bundle(rules: PutRules, signal?: AbortSignal): Bundle {
    const headers = { 'content-type': 'application/octet-stream' }
    return new Bundle(body => this.#send('POST', `/v1/files?${queryOf(rules)}`, { body, headers, signal }))
  }

  /** Opens a file, or the bytes of it from `from` to `to` inclusive. */
  async get(
    path: string,
    range?: { from: number; to: number | undefined } | undefined,
    signal?: AbortSignal
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

  async *list(path: string, recursive: boolean, signal?: AbortSignal): AsyncGenerator<ListItem> {
    const response = await this.#send('GET', `/v1/list${encodePath(path)}?recursive=${recursive}`, { signal })
    for await (const item of readLines(response)) {
      const failed = errorSchema.safeParse(item)
      if (failed.success) throw new CliError(failed.data.error.code, failed.data.error.message)
      yield item as ListItem
    }
  }

  async stat(path: string): Promise<Stat> {
    return (await this.#call('GET', `/v1/stat${encodePath(path)}`)) as Stat
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
    signal?: AbortSignal
  ): Promise<{ from: string; path: string }> {
    return (await this.#call('POST', '/v1/copy', { from, to, noClobber }, signal)) as { from: string; path: string }
  }

  async remove(path: string, recursive: boolean): Promise<RemoveResult> {
    return (await this.#call('DELETE', `/v1/files${encodePath(path)}?recursive=${recursive}`)) as RemoveResult
  }

  async evict(path: string, signal?: AbortSignal): Promise<EvictResult> {
    return (await this.#call('POST', `/v1/evict${encodePath(path)}`, undefined, signal)) as EvictResult
  }

  async status(): Promise<Status> {
    return (await this.#call('GET', '/v1/status')) as Status
  }

  async peers(): Promise<Peer[]> {
    return (await this.#call('GET', '/v1/peers')) as Peer[]
  }

  async #transfer(id: string): Promise<Transfer> {
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
    if (error === undefined || error.code === 'aborted')
      throw new NoAnswerError('the connection to the node broke off', { cause: broken })
    throw new CliError(error.code, error.message)
  }

  async #call(method: string, url: string, json?: unknown, signal?: AbortSignal): Promise<unknown> {
    const options =
      json === undefined
        ? { signal }
        : { signal, body: Buffer.from(JSON.stringify(json)), headers: { 'content-type': 'application/json' } }
    return readJson(await this.#send(method, url, options))
  }

  #send(method: string, path: string, options: SendOptions): Promise<IncomingMessage> {
    return this.#transport.send(method, path, { ...options, signal: options.signal ?? this.#signal })
  }
}

function targetOf(api: string): Target {
  const url = URL.parse(api)
  if (url === null || url.protocol !== 'http:' || url.pathname !== '/')
    throw usage('--api reads http://HOST:PORT, as in api.json')
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || 80) }
}

/** Each part by itself, so that no character of a name means anything in a URL. */
function encodePath(path: string): string {
  const rooted = path.startsWith('/') ? path : `/${path}`
  if (!rooted.isWellFormed()) throw new CliError('invalid', 'a path is well-formed Unicode')
  return rooted.split('/').map(encodeURIComponent).join('/')
}
