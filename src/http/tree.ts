import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { encodeLine } from '../contract/ndjson.ts'
import { writeTo } from '../flow/write.ts'
import type { DfsNode } from '../index.ts'
import { goneSignal, readJson } from './body.ts'
import { NDJSON_HEADERS } from './constants.ts'
import { errorOf, HttpError } from './errors.ts'
import { pathOf, queryOf } from './request.ts'
import type { Transfers } from './transfers.ts'

const twoPaths = z.strictObject({ from: z.string(), to: z.string(), noClobber: z.boolean().optional() })

/** Everything but the bytes of files: listings, facts, changes to the tree, and the node itself. */
export function serveTree(app: FastifyInstance, node: DfsNode, transfers: Transfers): void {
  app.get('/v1/list/*', (request, reply) => list(node, request, reply))
  app.get('/v1/stat/*', (request, reply) => node.stat(pathOf(request), { signal: goneSignal(reply.raw) }))
  app.post('/v1/mkdir/*', (request, reply) => node.mkdir(pathOf(request), { signal: goneSignal(reply.raw) }))
  app.post('/v1/move', async (request, reply) => {
    const { from, to, noClobber } = await pathsIn(request)
    return node.move(from, to, { noClobber, signal: goneSignal(reply.raw) })
  })
  app.post('/v1/copy', async (request, reply) => {
    const { from, to, noClobber } = await pathsIn(request)
    return node.copy(from, to, { noClobber, signal: goneSignal(reply.raw) })
  })
  app.post('/v1/evict/*', (request, reply) => node.evict(pathOf(request), { signal: goneSignal(reply.raw) }))
  app.get('/v1/status', () => node.status())
  app.get('/v1/peers', async () => node.peers())
  app.get<{ Params: { id: string } }>('/v1/transfers/:id', async request => {
    const transfer = transfers.get(request.params.id)
    if (transfer === undefined) throw new HttpError(404, 'not-found', 'no such transfer')
    return transfer
  })
}

/** One object a line; a last line with `error` says that the listing broke off. */
async function list(node: DfsNode, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const signal = goneSignal(reply.raw)
  const recursive = queryOf(request).get('recursive') === 'true'
  const items = node.list(pathOf(request), { recursive, signal })
  // What is wrong with the path itself is still an answer of its own.
  const first = await items.next()
  reply.hijack()
  const response = reply.raw
  response.writeHead(200, NDJSON_HEADERS)
  try {
    if (first.done !== true) await writeTo(response, encodeLine(first.value))
    for await (const item of items) await writeTo(response, encodeLine(item))
  } catch (error) {
    if (!response.destroyed) response.write(encodeLine({ error: errorOf(error) }))
  }
  response.end()
  return reply
}

async function pathsIn(request: FastifyRequest): Promise<z.infer<typeof twoPaths>> {
  const parsed = twoPaths.safeParse(await readJson(request.raw))
  if (!parsed.success) throw new HttpError(400, 'invalid', 'the request is {"from", "to"} and perhaps "noClobber"')
  return parsed.data
}
