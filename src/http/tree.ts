import { once } from 'node:events'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { DfsNode } from '../index.ts'
import { describe, HttpError } from './errors.ts'
import { goneSignal, pathAfter, queryOf, readJson } from './request.ts'
import type { Transfers } from './transfers.ts'

const twoPaths = z.strictObject({ from: z.string(), to: z.string(), noClobber: z.boolean().optional() })

/** Everything but the bytes of files: listings, facts, changes to the tree, and the node itself. */
export function serveTree(app: FastifyInstance, node: DfsNode, transfers: Transfers): void {
  app.get('/v1/list/*', (request, reply) => list(node, request, reply))
  app.get('/v1/stat/*', request => node.stat(pathAfter(request, '/v1/stat/')))
  app.post('/v1/mkdir/*', request => node.mkdir(pathAfter(request, '/v1/mkdir/')))
  app.post('/v1/move', async request => {
    const { from, to, noClobber } = await pathsOf(request)
    return node.move(from, to, { noClobber })
  })
  app.post('/v1/copy', async (request, reply) => {
    const { from, to, noClobber } = await pathsOf(request)
    return node.copy(from, to, { noClobber, signal: goneSignal(reply.raw) })
  })
  app.post('/v1/evict/*', (request, reply) => {
    const signal = goneSignal(reply.raw)
    return node.evict(pathAfter(request, '/v1/evict/'), { signal })
  })
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
  const items = node.list(pathAfter(request, '/v1/list/'), { recursive, signal })
  // What is wrong with the path itself is still an answer of its own.
  const first = await items.next()
  reply.hijack()
  const response = reply.raw
  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'x-content-type-options': 'nosniff' })
  try {
    if (first.done !== true) response.write(`${JSON.stringify(first.value)}\n`)
    for await (const item of items) {
      if (response.write(`${JSON.stringify(item)}\n`) || response.destroyed) continue
      await Promise.race([once(response, 'drain'), once(response, 'close')])
    }
  } catch (error) {
    const { code, message } = describe(error)
    response.write(`${JSON.stringify({ error: { code, message } })}\n`)
  }
  response.end()
  return reply
}

async function pathsOf(request: FastifyRequest): Promise<z.infer<typeof twoPaths>> {
  const parsed = twoPaths.safeParse(await readJson(request))
  if (!parsed.success) throw new HttpError(400, 'invalid', 'the request is {"from", "to"} and perhaps "noClobber"')
  return parsed.data
}
