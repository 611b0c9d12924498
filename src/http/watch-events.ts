import type { FastifyReply, FastifyRequest } from 'fastify'
import { type FieldsOf, VERBS } from '../contract/verbs.ts'
import { begin } from '../flow/begin.ts'
import { writeTo } from '../flow/write.ts'
import type { WatchEvent } from '../index.ts'
import { goneSignal } from './body.ts'
import { EVENTS_HEADERS, EVENTS_RETRY_MS, EVENTS_TYPE, HEARTBEAT_MS } from './constants.ts'
import { errorOf } from './errors.ts'
import type { RouteContext } from './route-context.ts'
import { pathOf, queryOf } from './target.ts'
import { VerbFields } from './verb-fields.ts'

const FIELDS = new VerbFields(VERBS.watch)

/** Returns true if a client asks for server-sent events. */
export function wantsEvents({ headers: { accept = '' } }: FastifyRequest): boolean {
  return accept.split(',').some(item => item.split(';')[0]?.trim().toLowerCase() === EVENTS_TYPE)
}

/**
 * `GET /v1/watch/PATH` as server-sent events (HTML, section 9.2). The id of each is its cursor, so a client that
 * connects again sends it as `Last-Event-ID` and misses nothing.
 */
export async function answerEvents(
  { node, closing, log }: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<FastifyReply> {
  const signal = AbortSignal.any([goneSignal(reply.raw), closing])
  const query = queryOf(request)
  const last = request.headers['last-event-id']
  if (typeof last === 'string' && last !== '') query.set('since', last)
  const fields = FIELDS.check({ path: pathOf(request), query }) as FieldsOf<'watch'>
  const events = await begin(VERBS.watch.run(node, fields, { signal }))
  reply.hijack()
  const response = reply.raw
  response.writeHead(200, EVENTS_HEADERS)
  response.write(`retry: ${EVENTS_RETRY_MS}\n\n`)
  const heartbeat = setInterval(() => {
    // A client that reads slowly is not dead, and has enough to read.
    if (!response.writableNeedDrain) response.write(':\n\n')
  }, HEARTBEAT_MS)
  try {
    if (request.method === 'HEAD') await events.return?.()
    else for await (const event of events) await writeTo(response, encodeEvent(event))
  } catch (error) {
    log('a stream of events broke off', error)
    // Without an id, so the client goes on after the last event that it got.
    if (!response.destroyed && !closing.aborted)
      response.write(`event: failure\ndata: ${JSON.stringify({ error: errorOf(error) })}\n\n`)
  } finally {
    clearInterval(heartbeat)
  }
  response.end()
  return reply
}

function encodeEvent(event: WatchEvent): string {
  return `id: ${event.cursor}\ndata: ${JSON.stringify(event)}\n\n`
}
