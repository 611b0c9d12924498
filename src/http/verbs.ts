import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { encodeLine } from '../contract/ndjson.ts'
import type { StreamVerb, Verb } from '../contract/verb.ts'
import { hasPath } from '../contract/verb-request.ts'
import { VERBS } from '../contract/verbs.ts'
import { begin } from '../flow/begin.ts'
import { writeTo } from '../flow/write.ts'
import { goneSignal, readJson } from './body.ts'
import { NDJSON_HEADERS } from './constants.ts'
import { errorOf } from './errors.ts'
import { tagIn } from './request.ts'
import type { RouteContext } from './route-context.ts'
import { pathOf, queryOf } from './target.ts'
import { type ReceivedFields, VerbFields } from './verb-fields.ts'
import { answerEvents, wantsEvents } from './watch-events.ts'

const ALL_VERBS: readonly Verb[] = Object.values(VERBS)

/** Serves every verb in the table: listings, facts, changes to the tree, and the state of the node. */
export function serveVerbs(app: FastifyInstance, context: RouteContext): void {
  for (const verb of ALL_VERBS) {
    const fields = new VerbFields(verb)
    app.route({
      method: verb.method,
      url: verb.route,
      handler: async (request, reply) => {
        if (verb === VERBS.watch && wantsEvents(request)) return answerEvents(context, request, reply)
        // From here on, so that a client that goes while its body is read is not missed.
        const signal = goneSignal(reply.raw)
        const checked = fields.check(await receive(verb, fields, request, context.log))
        if (verb.kind === 'stream') return answerStream(verb, context, reply, { fields: checked, signal })
        return verb.run(context.node, checked, { signal })
      }
    })
  }
}

/** Sends one item per line. If the stream breaks off, the last line has an `error`. */
async function answerStream(
  verb: StreamVerb,
  { node, closing, log }: RouteContext,
  reply: FastifyReply,
  { fields, signal: gone }: { fields: Record<string, unknown>; signal: AbortSignal }
): Promise<FastifyReply> {
  const signal = verb === VERBS.watch ? AbortSignal.any([gone, closing]) : gone
  // If the verb fails before the first item, for example because a path is missing, the answer can still have the
  // status of that failure.
  const items = await begin(verb.run(node, fields, { signal }))
  reply.hijack()
  const response = reply.raw
  response.writeHead(200, NDJSON_HEADERS)
  try {
    if (reply.request.method === 'HEAD') await items.return?.()
    else for await (const item of items) await writeTo(response, encodeLine(item))
  } catch (error) {
    log('a stream of lines broke off', error)
    if (!response.destroyed) response.write(encodeLine({ error: errorOf(error) }))
  }
  response.end()
  return reply
}

/** Returns the fields of a request as they arrived. */
async function receive(
  verb: Verb,
  fields: VerbFields,
  request: FastifyRequest,
  log: RouteContext['log']
): Promise<ReceivedFields> {
  const received: ReceivedFields = { query: queryOf(request) }
  if (hasPath(verb)) received.path = pathOf(request)
  const ifMatch = request.headers['if-match']
  // `*` only requires that something exists at the path, and the verb checks that itself.
  if (fields.takesTag && ifMatch !== undefined && ifMatch !== '*') received.ifTag = tagIn(ifMatch)
  if (fields.takesBody) received.json = await readJson(request.raw, log)
  return received
}
