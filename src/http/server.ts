import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import { join, resolve } from 'node:path'
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { API_FILE, type ApiFile } from '../contract/api-file.ts'
import type { DfsNode } from '../index.ts'
import { HEADER_BYTES_MAX, KEEP_ALIVE_MS, TOKEN_BYTES } from './constants.ts'
import { describe, HttpError } from './errors.ts'
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
import { Transfers } from './transfers.ts'
import { serveTree } from './tree.ts'

export interface ApiOptions {
  /** The node's own, which holds its lock. */
  dataDir: string
  /** Where to listen on loopback; left out, the usual port, or a free one if it is taken. Port 0 is a free one. */
  listen?: Address | undefined
}

/** The daemon's HTTP API, on loopback and on a socket that only its user can open. */
export interface Api {
  url: string
  close(): Promise<void>
}

/**
 * Serves a node. Once it answers, `api.json` in the data directory (mode 0600) says where, and with which token, new at
 * each start; it goes when the API closes. Errors: `invalid` for an address beyond loopback, `port-taken` for a given
 * port that is taken, and those of the file system.
 */
export async function serveApi(node: DfsNode, { dataDir: given, listen }: ApiOptions): Promise<Api> {
  assertLoopback(listen)
  const dataDir = resolve(given)
  const token = randomBytes(TOKEN_BYTES).toString('base64url')
  const hosts = new Set<string>()
  const handler = await handlerFor(node, token, hosts)
  const tcp = newServer(handler)
  const unix = newServer((request, response) => {
    onSocket.add(request)
    handler(request, response)
  })
  const closing: Array<() => Promise<void>> = [() => closeServer(tcp)]
  const close = async (): Promise<void> => {
    await Promise.all(closing.map(end => end()))
  }
  try {
    const { host, port } = await listenOnLoopback(tcp, dataDir, listen)
    for (const name of ['127.0.0.1', 'localhost', '[::1]']) hosts.add(`${name}:${port}`)
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
    const socket = await listenOnSocket(unix, dataDir)
    closing.push(async () => {
      await closeServer(unix)
      await removeSocket(socket, dataDir)
    })
    const file = join(dataDir, API_FILE)
    await writePrivately(file, `${JSON.stringify({ url, socket, token } satisfies ApiFile)}\n`)
    closing.unshift(() => rm(file, { force: true }))
    return { url, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Requests that came through the socket: the file system has vouched for them already, and no browser speaks there. */
const onSocket = new WeakSet<object>()

/** Fastify, of which one handler serves both of our servers. */
async function handlerFor(node: DfsNode, token: string, hosts: ReadonlySet<string>): Promise<RequestListener> {
  let handler: RequestListener | undefined
  const app = fastify({
    // URLs hold paths, which no log may.
    logger: false,
    bodyLimit: Number.MAX_SAFE_INTEGER,
    routerOptions: { maxParamLength: HEADER_BYTES_MAX },
    frameworkErrors: (error, _request, reply) => answerError(error, reply),
    serverFactory: listener => {
      handler = listener as RequestListener
      return createServer(handler)
    }
  })
  guard(app, token, hosts)
  const transfers = new Transfers()
  app.get('/healthz', async () => ({ ok: true }))
  serveFiles(app, node, transfers)
  serveBundles(app, node)
  serveTree(app, node, transfers)
  await app.ready()
  return handler as RequestListener
}

/** Who may ask, and how a refusal reads. */
function guard(app: FastifyInstance, token: string, hosts: ReadonlySet<string>): void {
  const expected = hash('sha256', `Bearer ${token}`, 'buffer')
  app.removeAllContentTypeParsers()
  // Bodies are streamed to whoever wants them; nothing is parsed on the way.
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
  app.addHook('onRequest', async request => {
    // A web page that found this port names itself, or the name it was rebound under.
    if (request.headers.origin !== undefined) throw new HttpError(403, 'not-allowed', 'not for web pages')
    if (!onSocket.has(request.raw) && !hosts.has(request.headers.host ?? ''))
      throw new HttpError(403, 'not-allowed', 'this host name is not ours')
    if (request.raw.url === '/healthz') return
    const given = hash('sha256', request.headers.authorization ?? '', 'buffer')
    if (!timingSafeEqual(given, expected)) throw new HttpError(401, 'not-allowed', 'give the token from api.json')
  })
  app.setErrorHandler((error, _request, reply) => answerError(error, reply))
  app.setNotFoundHandler((_request, reply) => answerError(new HttpError(404, 'not-found', 'no such route'), reply))
}

function answerError(error: unknown, reply: FastifyReply): FastifyReply {
  const { status, code, message } = describe(error)
  const headers = error instanceof HttpError ? error.headers : {}
  return reply.code(status).headers(headers).send({ error: { code, message } })
}

function newServer(handler: RequestListener): Server {
  const server = createServer({ maxHeaderSize: HEADER_BYTES_MAX, keepAliveTimeout: KEEP_ALIVE_MS }, handler)
  // Transfers take as long as they take.
  server.requestTimeout = 0
  return server
}
