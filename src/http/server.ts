import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { type DfsNode, InvalidInputError } from '../index.ts'
import { CLOSE_MS, HEADER_BYTES_MAX, SOCKET_PATH_BYTES_MAX, TOKEN_BYTES } from './constants.ts'
import { describe, HttpError } from './errors.ts'
import { serveFiles } from './files.ts'
import { Transfers } from './transfers.ts'
import { serveTree } from './tree.ts'

export interface ApiOptions {
  dataDir: string
  /** Where to listen on loopback; left out, the usual port, or a free one if it is taken. Port 0 is a free one. */
  listen?: { host: string; port: number } | undefined
}

/** The daemon's HTTP API, on loopback and on a socket that only its user can open. */
export interface Api {
  url: string
  close(): Promise<void>
}

const DEFAULT_LISTEN = { host: '127.0.0.1', port: 3002 }
const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost'])
const PORT_FILE = 'api-port'
const API_FILE = 'api.json'
const SOCKET_FILE = 'api.sock'

/**
 * Serves a node. Once it answers, `api.json` in the data directory (mode 0600) says where, and with which token, new at
 * each start. Throws an `InvalidInputError` for an address beyond loopback or a given port that is taken.
 */
export async function serveApi(node: DfsNode, { dataDir, listen }: ApiOptions): Promise<Api> {
  if (listen !== undefined && !LOOPBACK.has(listen.host))
    throw new InvalidInputError(
      '--api listens on loopback only: beyond it the API would need TLS, which is not built yet'
    )
  const token = randomBytes(TOKEN_BYTES).toString('base64url')
  const handlers: RequestListener[] = []
  const app = fastify({
    logger: false,
    bodyLimit: Number.MAX_SAFE_INTEGER,
    routerOptions: { maxParamLength: HEADER_BYTES_MAX },
    serverFactory: handler => {
      handlers.push(handler as RequestListener)
      return createServer({ maxHeaderSize: HEADER_BYTES_MAX }, handler as RequestListener)
    }
  })
  const allowedHosts = new Set<string>()
  addRoutes(app, node, token, request => allowedHosts.has(request.headers.host ?? ''))
  await app.ready()
  const handler = handlers[0] as RequestListener
  const tcp = newServer(handler)
  const unix = newServer((request, response) => {
    onSocket.add(request)
    handler(request, response)
  })
  const port = await listenOnLoopback(tcp, dataDir, listen)
  const host = listen?.host ?? DEFAULT_LISTEN.host
  for (const name of ['127.0.0.1', 'localhost', '[::1]']) allowedHosts.add(`${name}:${port}`)
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  const socket = await listenOnSocket(unix, dataDir)
  await writePrivately(join(dataDir, API_FILE), `${JSON.stringify({ url, socket, token })}\n`)
  return {
    url,
    async close() {
      await rm(join(dataDir, API_FILE), { force: true })
      await Promise.all([tcp, unix].map(closeServer))
      await app.close()
    }
  }
}

/** Requests that came through the socket: the file system has vouched for them already, and no browser speaks there. */
const onSocket = new WeakSet<object>()

function addRoutes(
  app: FastifyInstance,
  node: DfsNode,
  token: string,
  isAllowedHost: (request: FastifyRequest) => boolean
): void {
  const expected = hash('sha256', `Bearer ${token}`, 'buffer')
  app.removeAllContentTypeParsers()
  // Bodies are streamed to whoever wants them; nothing is parsed on the way.
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
  app.addHook('onRequest', async request => {
    // A web page that found this port names itself, or the name it was rebound under.
    if (request.headers.origin !== undefined) throw new HttpError(403, 'not-allowed', 'not for web pages')
    if (!onSocket.has(request.raw) && !isAllowedHost(request))
      throw new HttpError(403, 'not-allowed', 'this host name is not ours')
    if (request.raw.url === '/healthz') return
    const given = hash('sha256', request.headers.authorization ?? '', 'buffer')
    if (!timingSafeEqual(given, expected)) throw new HttpError(401, 'not-allowed', 'give the token from api.json')
  })
  app.setErrorHandler((error, _request, reply) => {
    const { status, code, message } = describe(error)
    return reply.code(status).header('connection', 'close').send({ error: { code, message } })
  })
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).send({ error: { code: 'not-found', message: 'no such route' } })
  )
  const transfers = new Transfers()
  app.get('/healthz', async () => ({ ok: true }))
  serveFiles(app, node, transfers)
  serveTree(app, node, transfers)
}

function newServer(handler: RequestListener): Server {
  const server = createServer({ maxHeaderSize: HEADER_BYTES_MAX }, handler)
  // Transfers take as long as they take.
  server.requestTimeout = 0
  return server
}

/** Gives the port. A usual one that is taken is followed by the one remembered, then by a free one. */
async function listenOnLoopback(
  server: Server,
  dataDir: string,
  given: { host: string; port: number } | undefined
): Promise<number> {
  const remembered = Number(await readFile(join(dataDir, PORT_FILE), 'utf8').catch(() => ''))
  const { host, port } = given ?? DEFAULT_LISTEN
  const tries = given !== undefined ? [port] : [...(remembered > 0 ? [remembered] : []), port, 0]
  for (const candidate of tries) {
    try {
      await listenOn(server, { host, port: candidate })
      const bound = (server.address() as AddressInfo).port
      if (given === undefined) await writePrivately(join(dataDir, PORT_FILE), String(bound))
      return bound
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
  throw new InvalidInputError(`port ${port} is taken: free it, or give another --api`)
}

/** A socket beside the data; where its path would be too long for the system, in a private folder that api.json names. */
async function listenOnSocket(server: Server, dataDir: string): Promise<string> {
  const beside = join(dataDir, SOCKET_FILE)
  let path = beside
  if (Buffer.byteLength(beside) > SOCKET_PATH_BYTES_MAX) {
    const folder = join(process.env['XDG_RUNTIME_DIR'] ?? tmpdir(), `dfs-${randomBytes(8).toString('hex')}`)
    await mkdir(folder, { mode: 0o700 })
    path = join(folder, SOCKET_FILE)
  }
  if (process.platform === 'win32') path = `\\\\.\\pipe\\dfs-${randomBytes(8).toString('hex')}`
  else await rm(path, { force: true })
  await listenOn(server, { path })
  if (process.platform !== 'win32') await chmod(path, 0o600)
  return path
}

function listenOn(server: Server, where: { host: string; port: number } | { path: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(where, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function closeServer(server: Server): Promise<void> {
  return new Promise(resolve => {
    const cut = setTimeout(() => server.closeAllConnections(), CLOSE_MS)
    server.close(() => {
      clearTimeout(cut)
      resolve()
    })
    server.closeIdleConnections()
  })
}

async function writePrivately(path: string, text: string): Promise<void> {
  const temp = `${path}.${process.pid}`
  await writeFile(temp, text, { mode: 0o600 })
  await rename(temp, path)
}
