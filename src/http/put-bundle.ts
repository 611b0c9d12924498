import type { ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { slotsOfSmall } from '../contract/bundle-head.ts'
import { encodeLine } from '../contract/ndjson.ts'
import { FILES_ROUTE } from '../contract/routes.ts'
import { forEachAtOnce } from '../flow/at-once.ts'
import { writeTo } from '../flow/write.ts'
import type { PutOptions } from '../index.ts'
import { goneSignal, withBody } from './body.ts'
import { type BundledFile, readBundle } from './bundle.ts'
import { BUNDLED_AT_ONCE, NDJSON_HEADERS } from './constants.ts'
import { errorOf } from './errors.ts'
import { factsOf, rulesOf } from './request.ts'
import type { RouteContext } from './route-context.ts'
import { queryOf } from './target.ts'

/** `POST /v1/files`: puts each file of a bundle separately, and answers with one line of JSON per file. */
export function serveBundles(app: FastifyInstance, context: RouteContext): void {
  app.post(FILES_ROUTE, (request, reply) => putBundle(context, request, reply))
}

async function putBundle(
  { node, log }: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<FastifyReply> {
  const shared: PutOptions = { ...rulesOf(queryOf(request)), signal: goneSignal(reply.raw) }
  reply.hijack()
  const response = reply.raw
  // The answer begins immediately, because a client that sends file after file is waiting for it.
  response.writeHead(200, NDJSON_HEADERS).flushHeaders()
  const say = lineWriter(response)
  const putOne = async ({ item, head, bytes, release }: BundledFile): Promise<void> => {
    try {
      const { modified = null, mode = null, type } = head
      const result = await node.put(head.path, bytes, { ...shared, ...factsOf({ modified, mode, type }) })
      release()
      await say({ item, result })
    } catch (error) {
      if (shared.signal?.aborted === true) throw error
      log('a file of a bundle was not put', error)
      await say({ item, error: errorOf(error) })
    }
  }
  try {
    await withBody(request.raw, log, body =>
      forEachAtOnce(readBundle(body instanceof Uint8Array ? [body] : body), BUNDLED_AT_ONCE, putOne, ({ bytes }) =>
        slotsOfSmall(bytes.byteLength)
      )
    )
  } catch (error) {
    if (response.destroyed) log('a bundle ended because its client went away', error)
    else await say({ error: errorOf(error) }).catch(gone => log('the answer to a bundle could not be sent', gone))
  }
  response.end()
  return reply
}

/**
 * Returns a function that writes a value as a line. The lines of one turn of the event loop are written together,
 * because puts end in groups.
 */
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
