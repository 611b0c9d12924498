import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { encodeLine } from '../contract/ndjson.ts'
import type { CallVerb, StreamVerb, Verb } from '../contract/verb.ts'
import { collectFields, hasPath, plainFieldsOf, type ReceivedFields } from '../contract/verb-request.ts'
import { VERBS } from '../contract/verbs.ts'
import { begin } from '../flow/begin.ts'
import { writeTo } from '../flow/write.ts'
import { goneSignal, readJson } from './body.ts'
import { NDJSON_HEADERS } from './constants.ts'
import { errorOf, HttpError } from './errors.ts'
import { tagIn } from './request.ts'
import type { RouteContext } from './route-context.ts'
import { pathOf, queryOf } from './target.ts'
import { answerEvents, wantsEvents } from './watch-events.ts'

const ALL_VERBS: readonly Verb[] = Object.values(VERBS)

/** Serves every verb in the table: listings, facts, changes to the tree, and the state of the node. */
export function serveVerbs(app: FastifyInstance, context: RouteContext): void {
  for (const verb of ALL_VERBS) {
    app.route({
      method: verb.method,
      url: verb.route,
      handler: (request, reply) => {
        if (verb.kind === 'call') return answerCall(verb, context, request, reply)
        if (verb === VERBS.watch && wantsEvents(request)) return answerEvents(context, request, reply)
        return answerStream(verb, context, request, reply)
      }
    })
  }
}

async function answerCall(
  verb: CallVerb,
  { node, log }: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<unknown> {
  const signal = goneSignal(reply.raw)
  const work = verb.bind(await fieldsOf(verb, request, log)) ?? refuseFields(verb)
  return work(node, { signal })
}

/** Sends one item per line. If the stream breaks off, the last line has an `error`. */
async function answerStream(
  verb: StreamVerb,
  { node, closing, log }: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<FastifyReply> {
  const gone = goneSignal(reply.raw)
  const signal = verb === VERBS.watch ? AbortSignal.any([gone, closing]) : gone
  const work = verb.bind(await fieldsOf(verb, request, log)) ?? refuseFields(verb)
  // If the verb fails before the first item, for example because a path is missing, the answer can still have the
  // status of that failure.
  const items = await begin(work(node, { signal }))
  reply.hijack()
  const response = reply.raw
  response.writeHead(200, NDJSON_HEADERS)
  try {
    if (request.method === 'HEAD') await items.return?.()
    else for await (const item of items) await writeTo(response, encodeLine(item))
  } catch (error) {
    log('a stream of lines broke off', error)
    if (!response.destroyed) response.write(encodeLine({ error: errorOf(error) }))
  }
  response.end()
  return reply
}

/** Returns the fields of a request as they arrived. The verb checks them. */
async function fieldsOf(verb: Verb, request: FastifyRequest, log: RouteContext['log']): Promise<unknown> {
  const received: ReceivedFields = { query: queryOf(request) }
  if (hasPath(verb)) received.path = pathOf(request)
  const ifMatch = request.headers['if-match']
  // `*` only requires that something exists at the path, and the verb checks that itself.
  if ('ifTag' in verb.fields.shape && ifMatch !== undefined && ifMatch !== '*') received.ifTag = tagIn(ifMatch)
  if (verb.method === 'POST' && plainFieldsOf(verb).length > 0) received.json = await readJson(request.raw, log)
  return collectFields(verb, received)
}

function refuseFields(verb: Verb): never {
  const names = plainFieldsOf(verb).map(name => {
    const isOptional = verb.fields.shape[name]?.safeParse(undefined).success === true
    return isOptional ? `"${name}" (optional)` : `"${name}"`
  })
  throw new HttpError(400, 'invalid', `the fields of the request are wrong: give ${names.join(', ')}`)
}
