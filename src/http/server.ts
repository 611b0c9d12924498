import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import { join, resolve } from 'node:path'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { API_FILE, type ApiFile } from '../contract/api-file.ts'
import { type ComponentLogger, type DfsVerbs, debugLogger, reasonOf } from '../index.ts'
import { directoryId } from '../terminal/directory-id.ts'
import { HEADER_BYTES_MAX, KEEP_ALIVE_MS, TOKEN_BYTES } from './constants.ts'
import { describe, HttpError, noRoute } from './errors.ts'
import { serveFiles } from './files.ts'
import {
  type Address,
  assertLoopback,
  closeServer,
  listenOnLoopback,
  listenOnSocket,
  removeSocket,
  writePrivately
} from './listen.ts'
import { serveBundles } from './put-bundle.ts'
import type { LogError, RouteContext } from './route-context.ts'
import { targetOf } from './target.ts'
import { serveTransfers, Transfers } from './transfers.ts'
import { serveVerbs } from './verbs.ts'

export interface ApiOptions {
  /** The node's own data directory. The node holds its lock. */
  dataDir: string
  /**
   * Where to listen on loopback. By default on the port used last time, else on the usual port, or on a free port if
   * those are taken. Port 0 means any free port.
   */
  listen?: Address | undefined
  /** The file that holds the network key, if the owner named one. Only `api.json` repeats it. */
  keyFile?: string | undefined
  /**
   * Where errors are logged, under `dfs:http`. Only their names and codes are logged, because messages of other
   * software may contain a path. By default, the log goes to stderr if the environment variable `DEBUG` asks for it.
   */
  logger?: ComponentLogger | undefined
}

/** The daemon's HTTP API, on loopback and on a socket that only its user can open. */
export interface Api {
  url: string
  close(): Promise<void>
}

/**
 * Serves a node. Once the API answers, the file `api.json` in the data directory (mode 0600) holds its address and its
 * token. The token is new at each start, and the file is removed when the API closes. Throws an `InvalidInputError` for
 * an address beyond loopback, an `ApiPortTakenError` if the given port is taken, and the errors of the file system.
 */
export async function serveApi(node: DfsVerbs, options: ApiOptions): Promise<Api> {
  const { listen, keyFile, logger = debugLogger } = options
  const component = logger.forComponent('dfs:http')
  const log: LogError = (what, error) => component('%s: %s', what, reasonOf(error))
  assertLoopback(listen)
  const dataDir = resolve(options.dataDir)
  const token = randomBytes(TOKEN_BYTES).toString('base64url')
  const hosts = new Set<string>()
  const closing = new AbortController()
  const onSocket = new WeakSet<object>()
  const isOnSocket = (request: object): boolean => onSocket.has(request)
  const context = { node, transfers: new Transfers(), closing: closing.signal, isOnSocket, log }
  let isReady = false
  const handler = await handlerFor(context, { token, hosts, isReady: () => isReady })
  const tcp = newServer(handler, log)
  const unix = newServer((request, response) => {
    onSocket.add(request)
    handler(request, response)
  }, log)
  const ends: Array<() => Promise<void>> = [() => closeServer(tcp)]
  const close = async (): Promise<void> => {
    closing.abort(new HttpError(503, 'unreachable', 'the node is stopping'))
    await Promise.all(ends.map(end => end()))
  }
  try {
    const { host, port } = await listenOnLoopback(tcp, dataDir, listen, log)
    for (const name of ['127.0.0.1', 'localhost', '[::1]']) hosts.add(`${name}:${port}`)
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
    const socket = await listenOnSocket(unix, dataDir)
    ends.push(async () => {
      await closeServer(unix)
      await removeSocket(socket, dataDir)
    })
    const file = join(dataDir, API_FILE)
    const directory = await directoryId(dataDir)
    const facts: ApiFile = { url, socket, token, directory, ...(keyFile === undefined ? {} : { keyFile }) }
    await writePrivately(file, `${JSON.stringify(facts)}\n`)
    ends.unshift(() => rm(file, { force: true }))
    isReady = true
    return { url, close }
  } catch (error) {
    await close()
    throw error
  }
}

interface HandlerOptions {
  token: string
  hosts: ReadonlySet<string>
  /** Returns true once `api.json` is there. */
  isReady: () => boolean
}

/** Returns the handler of one Fastify application. Both of our servers use it. */
async function handlerFor(context: RouteContext, { isReady, ...keys }: HandlerOptions): Promise<RequestListener> {
  const { log } = context
  let handler: RequestListener | undefined
  const app = fastify({
    // Fastify would log URLs, which contain paths.
    logger: false,
    bodyLimit: Number.MAX_SAFE_INTEGER,
    routerOptions: { maxParamLength: HEADER_BYTES_MAX },
    frameworkErrors: (error, request, reply) => answerError(error, { request, reply, log }),
    serverFactory: listener => {
      handler = listener as RequestListener
      return createServer(handler)
    }
  })
  guard(app, context, keys)
  app.setErrorHandler((error, request, reply) => answerError(error, { request, reply, log }))
  app.setNotFoundHandler((request, reply) => answerError(noRoute(), { request, reply, log }))
  app.get('/healthz', async () => {
    // A script that waits for this answer reads `api.json` next.
    if (!isReady()) throw new HttpError(503, 'unreachable', 'the node is starting')
    return { ok: true }
  })
  serveFiles(app, context)
  serveBundles(app, context)
  serveVerbs(app, context)
  serveTransfers(app, context.transfers)
  await app.ready()
  return handler as RequestListener
}

/** Refuses requests that come from web pages, that name another host, or that lack the token. */
function guard(
  app: FastifyInstance,
  { isOnSocket }: RouteContext,
  { token, hosts }: { token: string; hosts: ReadonlySet<string> }
): void {
  const expected = hash('sha256', `Bearer ${token}`, 'buffer')
  app.removeAllContentTypeParsers()
  // Handlers read the body themselves, as a stream.
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
  app.addHook('onRequest', async request => {
    if (hostCount(request) > 1)
      throw new HttpError(400, 'invalid', 'the request has more than one Host header: send one')
    // A browser sends the origin of the web page, and the host name under which the page reached this port.
    if (request.headers.origin !== undefined)
      throw new HttpError(403, 'not-allowed', 'this API does not answer web pages')
    if (!isOnSocket(request.raw) && !hosts.has(request.headers.host ?? ''))
      throw new HttpError(403, 'not-allowed', 'this host name is not that of the API: use the address in api.json')
    if (request.raw.url === '/healthz') return
    const given = hash('sha256', request.headers.authorization ?? '', 'buffer')
    if (!timingSafeEqual(given, expected))
      throw new HttpError(401, 'not-allowed', 'the token is missing or wrong: send the one in api.json')
    // A handler may read no part of the target, so it is checked here, for every route.
    if (request.routeOptions.url !== undefined) targetOf(request)
  })
}

/** Node uses the first of several `Host` headers, but a proxy in front of it may have checked another one. */
function hostCount({ raw: { rawHeaders } }: FastifyRequest): number {
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]?.toLowerCase() === 'host') count++
  return count
}

interface Failed {
  request: FastifyRequest
  reply: FastifyReply
  log: LogError
}

function answerError(error: unknown, { request, reply, log }: Failed): FastifyReply {
  log(`${request.method} ${routeOf(request)} failed`, error)
  const { status, ...failure } = describe(error)
  const headers = error instanceof HttpError ? error.headers : {}
  return reply.code(status).headers(headers).send({ error: failure })
}

/**
 * Returns the pattern of a request's route. There is none if Fastify refuses the request before it looks for a route.
 */
function routeOf({ routeOptions }: FastifyRequest): string {
  return routeOptions?.url ?? 'without a route'
}

function newServer(handler: RequestListener, log: LogError): Server {
  const server = createServer({ maxHeaderSize: HEADER_BYTES_MAX, keepAliveTimeout: KEEP_ALIVE_MS }, handler)
  // A transfer may take any length of time.
  server.requestTimeout = 0
  // Without a listener, a connection that the system cannot accept, for lack of file handles, would end the process.
  server.on('error', error => log('the server of the API failed', error))
  return server
}
