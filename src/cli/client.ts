import type { IncomingMessage } from 'node:http'
import { failureIn } from '../contract/errors.ts'
import type { Json } from '../contract/json.ts'
import { encodeNamedFile, FILE_HEADER } from '../contract/named-file.ts'
import { encodePath, FILES_ROUTE, TRANSFERS_ROUTE } from '../contract/routes.ts'
import type { Transfer } from '../contract/transfer.ts'
import { encodeRequest } from '../contract/verb-request.ts'
import { type AnswerOf, type CallName, type FieldsOf, type StreamName, VERBS } from '../contract/verbs.ts'
import type { PutResult } from '../index.ts'
import { CliError, usage } from '../terminal/errors.ts'
import { readSecret } from '../terminal/secret-file.ts'
import { aboutArgument } from './about.ts'
import { readApiFile } from './api-file.ts'
import { Bundle } from './bundle.ts'
import { type NamedTransfer, readNamedLines } from './named-file.ts'
import { type PutFields, type PutRules, queryOf, textsOf } from './put-fields.ts'
import {
  type Body,
  NoAnswerError,
  nodeError,
  readJson,
  readLines,
  type SendOptions,
  type Target,
  Transport
} from './transport.ts'

/** The most bytes of a token. */
const TOKEN_BYTES_MAX = 4096

/** How to reach a daemon and its token: by its data directory, or by an address and a file with the token. */
export interface Where {
  dataDir?: string | undefined
  api?: string | undefined
  tokenFile?: string | undefined
}

/** A range of bytes, both ends inclusive. Without `to`, the range extends to the end of the file. */
export interface ByteRange {
  from: number
  to: number | undefined
}

/** The facts about a file. */
export interface FileFacts {
  size: number
  modified: Date
  mode: number | undefined
  /** The tag of its content, in quotes. */
  etag: string
}

/** Which part of a file to receive, and of which version; by default all of its current content. */
export interface GetFields {
  range?: ByteRange | undefined
  version?: string | undefined
}

/** A file that is being received. `size` is the number of bytes that will be received. */
export interface Download extends FileFacts {
  /** The bytes as they arrive. Throws the daemon's own reason if the transfer breaks off. */
  body: AsyncIterable<Buffer>
  /** Ends the transfer. Call it if the body may not have been read: an answer that waits occupies a connection. */
  close(): void
  /** Asks the daemon how many bytes each member delivered. Call it after the body has ended. */
  from(): Promise<Transfer['from']>
}

/** The daemon's HTTP API, as `dfs` uses it. Every failure of the daemon is a `CliError` with the daemon's code. */
export class Client {
  readonly #transport: Transport
  readonly #signal: AbortSignal | undefined

  private constructor(transport: Transport, signal: AbortSignal | undefined) {
    this.#transport = transport
    this.#signal = signal
  }

  /**
   * Opens a client. `signal` ends every call that has no signal of its own. Throws a `NoAnswerError` if no node runs on
   * the data directory, and a usage error if the address or the token file is wrong.
   */
  static async open({ dataDir, api, tokenFile }: Where, signal?: AbortSignal): Promise<Client> {
    if (api !== undefined) {
      if (tokenFile === undefined) throw usage('--api needs --token-file: name the file that holds the token')
      const token = await readSecret(tokenFile, {
        flag: '--token-file',
        what: 'a token',
        bytesMax: TOKEN_BYTES_MAX,
        signal
      })
      return new Client(new Transport(targetOf(api), token.trim(), api), signal)
    }
    const { socket, token } = await readApiFile(dataDir as string)
    return new Client(new Transport({ socketPath: socket }, token, dataDir as string), signal)
  }

  /**
   * True if the daemon may be asked to use files of this machine by itself (`NamedTransfer`). It does so only for
   * clients that reach it through its socket.
   */
  get canNameFiles(): boolean {
    return this.#transport.isOnSocket && process.platform !== 'win32'
  }

  close(): void {
    this.#transport.close()
  }

  /** Calls one of the verbs in `VERBS` (contract/verbs.ts). Throws a `CliError` with the daemon's code. */
  async call<Name extends CallName>(name: Name, fields: FieldsOf<Name>, signal?: AbortSignal): Promise<AnswerOf<Name>> {
    // The answer is not checked, because a daemon of this package answers as the table says.
    try {
      return (await readJson(await this.#request(name, fields, signal))) as AnswerOf<Name>
    } catch (error) {
      throw aboutArgument(error, fields)
    }
  }

  /** Calls a verb in `VERBS` that answers with a stream. Throws the daemon's own reason if the stream breaks off. */
  async *stream<Name extends StreamName>(
    name: Name,
    fields: FieldsOf<Name>,
    signal?: AbortSignal
  ): AsyncGenerator<AnswerOf<Name>> {
    try {
      for await (const item of readLines(await this.#request(name, fields, signal))) {
        const failure = failureIn(item)
        if (failure !== undefined) throw nodeError(failure)
        yield item as AnswerOf<Name>
      }
    } catch (error) {
      throw aboutArgument(error, fields)
    }
  }

  /**
   * Stores a file with a request of its own. Resolves once the file is durable on the requested number of members.
   * Throws a `CliError` with the daemon's code, a `NoAnswerError` if the connection breaks off, and any error that the
   * body throws. In place of a body it takes a file for the daemon to read.
   */
  async put(
    path: string,
    source: Body | NamedTransfer,
    fields: PutFields,
    signal?: AbortSignal
  ): Promise<Json<PutResult>> {
    const named = 'file' in source ? source : undefined
    const body = 'file' in source ? undefined : source
    const { size } = fields
    const { modified, mode, type } = textsOf(fields)
    const query = queryOf(fields)
    if (modified !== undefined) query.set('modified', modified)
    if (mode !== undefined) query.set('mode', mode)
    const headers = {
      'content-type': type ?? 'application/octet-stream',
      ...(size === undefined ? {} : { 'content-length': String(size) }),
      ...(named === undefined ? {} : { [FILE_HEADER]: encodeNamedFile(named.file) })
    }
    try {
      const response = await this.#send('PUT', `${fileUrl(path)}?${query}`, { body, headers, signal })
      if (named !== undefined) return await readNamedLines(response, named.onBytes)
      return (await readJson(response)) as Json<PutResult>
    } catch (error) {
      throw aboutArgument(error, { path })
    }
  }

  /**
   * Begins a bundle: puts of small files that share one request, because thousands of requests would cost more than
   * everything else. The caller must end the bundle, and must limit how many puts are under way.
   */
  bundle(rules: PutRules, signal?: AbortSignal): Bundle {
    const headers = { 'content-type': 'application/octet-stream' }
    return new Bundle(body => this.#send('POST', `${FILES_ROUTE}?${queryOf(rules)}`, { body, headers, signal }))
  }

  /** Opens a file, or a range of its bytes; with a version, that version of it. */
  async get(path: string, { range, version }: GetFields = {}, signal?: AbortSignal): Promise<Download> {
    const headers = range === undefined ? {} : { range: `bytes=${range.from}-${range.to ?? ''}` }
    const response = await this.#ask('GET', path, version, { headers, signal })
    const id = String(response.headers['dfs-transfer'])
    const facts = factsIn(response)
    const { size } = facts
    return {
      ...facts,
      body: this.#body(response, { path, size, id }),
      close: () => void response.destroy(),
      from: async () => (await this.#transfer(id)).from
    }
  }

  /** Returns the facts about a file. */
  async facts(path: string): Promise<FileFacts> {
    const response = await this.#ask('HEAD', path, undefined, {})
    response.resume()
    return factsIn(response)
  }

  /**
   * Has the daemon write a file into a new file of this machine, if it still has the content with this tag. Returns the
   * number of bytes that each member delivered.
   */
  async fill(path: string, { file, onBytes }: NamedTransfer, etag: string): Promise<Transfer['from']> {
    const headers = { 'if-match': etag, [FILE_HEADER]: encodeNamedFile(file) }
    try {
      const response = await this.#ask('GET', path, undefined, { headers })
      return (await readNamedLines<Pick<Transfer, 'from'>>(response, onBytes)).from
    } catch (error) {
      throw aboutArgument(error, { path })
    }
  }

  async #ask(
    method: 'GET' | 'HEAD',
    path: string,
    version: string | undefined,
    options: SendOptions
  ): Promise<IncomingMessage> {
    const query = version === undefined ? '' : `?${new URLSearchParams({ version })}`
    try {
      return await this.#send(method, fileUrl(path) + query, options)
    } catch (error) {
      throw aboutArgument(error, { path })
    }
  }

  async #transfer(id: string): Promise<Transfer> {
    return (await readJson(await this.#send('GET', `${TRANSFERS_ROUTE}/${id}`, {}))) as Transfer
  }

  async *#body(
    response: IncomingMessage,
    { path, size, id }: { path: string; size: number; id: string }
  ): AsyncGenerator<Buffer> {
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
    // If the daemon cannot be asked for its reason, the broken connection is reported as the reason.
    const { error } = await this.#transfer(id).catch(() => ({ error: undefined }))
    if (error === undefined || error.code === 'aborted')
      throw new NoAnswerError('the connection to the node broke off', { cause: broken })
    throw aboutArgument(nodeError(error), { path })
  }

  #request(
    name: CallName | StreamName,
    fields: Readonly<Record<string, unknown>>,
    signal: AbortSignal | undefined
  ): Promise<IncomingMessage> {
    for (const value of Object.values(fields)) if (typeof value === 'string') assertWellFormed(value)
    const { method, url, headers, body } = encodeRequest(VERBS[name], fields)
    return this.#send(method, url, { body, headers, signal })
  }

  #send(method: string, path: string, options: SendOptions): Promise<IncomingMessage> {
    return this.#transport.send(method, path, { ...options, signal: options.signal ?? this.#signal })
  }
}

function targetOf(api: string): Target {
  const url = URL.parse(api)
  if (url === null || url.protocol !== 'http:' || url.pathname !== '/')
    throw usage('--api takes http://HOST:PORT, as in api.json')
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || 80) }
}

function factsIn({ headers }: IncomingMessage): FileFacts {
  const mode = headers['dfs-mode']
  return {
    size: Number(headers['content-length']),
    modified: new Date(String(headers['dfs-modified'])),
    mode: typeof mode === 'string' ? Number.parseInt(mode, 8) : undefined,
    etag: String(headers.etag)
  }
}

function fileUrl(path: string): string {
  assertWellFormed(path)
  return FILES_ROUTE + encodePath(path)
}

function assertWellFormed(text: string): void {
  if (!text.isWellFormed()) throw new CliError('invalid', 'the path is not well-formed Unicode')
}
