import type { ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { encodeLine } from '../contract/ndjson.ts'
import { forEachAtOnce } from '../flow/at-once.ts'
import { writeTo } from '../flow/write.ts'
import type { DfsNode, PutOptions } from '../index.ts'
import { goneSignal, withBody } from './body.ts'
import { type BundledFile, readBundle } from './bundle.ts'
import { BUNDLED_AT_ONCE, NDJSON_HEADERS } from './constants.ts'
import { errorOf } from './errors.ts'
import { factsOf, queryOf, rulesOf } from './request.ts'

/** `POST /v1/files`: puts the files of a bundle, each for itself, and answers a line of JSON a file. */
export function serveBundles(app: FastifyInstance, node: DfsNode): void {
  app.post('/v1/files', (request, reply) => putBundle(node, request, reply))
}

async function putBundle(node: DfsNode, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const shared: PutOptions = { ...rulesOf(queryOf(request)), signal: goneSignal(reply.raw) }
  reply.hijack()
  const response = reply.raw
  // At once: who sends the files one by one waits for it.
  response.writeHead(200, NDJSON_HEADERS).flushHeaders()
  const say = lineWriter(response)
  const putOne = async ({ item, head, bytes }: BundledFile): Promise<void> => {
    try {
      const { modified = null, mode = null, type } = head
      const result = await node.put(head.path, bytes, { ...shared, ...factsOf({ modified, mode, type }) })
      await say({ item, result })
    } catch (error) {
      if (shared.signal?.aborted === true) throw error
      await say({ item, error: errorOf(error) })
    }
  }
  try {
    await withBody(request.raw, body =>
      forEachAtOnce(readBundle(body instanceof Uint8Array ? [body] : body), BUNDLED_AT_ONCE, putOne)
    )
  } catch (error) {
    if (!response.destroyed) await say({ error: errorOf(error) }).catch(() => {})
  }
  response.end()
  return reply
}

/** Writes the lines of one turn of the loop together; puts end in groups. */
function lineWriter(response: ServerResponse): (value: unknown) => Promise<void> {
  let text = ''
  let writing: Promise<void> | undefined
  const write = async (): Promise<void> => {
    await new Promise(resolve => setImmediate(resolve))
    const lines = text
    text = ''
    writing = undefined
    await writeTo(response, lines)
  }
  return value => {
    text += encodeLine(value)
    writing ??= write()
    return writing
  }
}
