import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { FILES_ROUTE } from '../contract/routes.ts'
import { begin } from '../flow/begin.ts'
import { flushTo } from '../flow/write.ts'
import type { OpenFile, PutOptions } from '../index.ts'
import { goneSignal, withBody } from './body.ts'
import { HttpError } from './errors.ts'
import { fillNamed, openNamed, putNamed } from './named-files.ts'
import { factsOf, matchesTag, parseRange, rulesOf, tagIn } from './request.ts'
import type { RouteContext } from './route-context.ts'
import { pathOf, queryOf } from './target.ts'

const ONE_FILE = `${FILES_ROUTE}/*`

/**
 * A media type with plain parameters. Another member may have stored any text as a media type, so the text is checked.
 */
const MEDIA_TYPE = /^[\w.+-]+\/[\w.+-]+( *; *[\w-]+=[\w.+-]+)*$/

/**
 * The types that a browser may display, because none of them can run code. Files of all other types must be downloaded.
 */
const SHOWN = /^(image\/(?!svg)[\w.+-]+|audio\/[\w.+-]+|video\/[\w.+-]+|application\/pdf|text\/plain)( *;.*)?$/i

/** `GET|HEAD|PUT /v1/files/PATH`. SPEC.md describes every header. `DELETE` is in the table of verbs. */
export function serveFiles(app: FastifyInstance, context: RouteContext): void {
  app.route({
    method: ['GET', 'HEAD'],
    url: ONE_FILE,
    exposeHeadRoute: false,
    handler: (request, reply) => download(context, request, reply)
  })
  app.put(ONE_FILE, async (request, reply) => {
    const path = pathOf(request)
    const options = { ...putOptions(request), signal: goneSignal(reply.raw) }
    const named = await openNamed(request, context, 'read')
    if (named !== undefined) return putNamed(context, named, { path, reply, options })
    const result = await withBody(request.raw, context.log, body => context.node.put(path, body, options))
    return reply.code(201).header('etag', `"${result.tag}"`).send(result)
  })
}

async function download(context: RouteContext, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { node } = context
  const signal = goneSignal(reply.raw)
  const path = pathOf(request)
  // A client that does not read must not keep the memory that others wait for. It can go on with a range.
  const version = queryOf(request).get('version') ?? undefined
  const onStalled = (): void => void reply.raw.destroy()
  const whole = await node.get(path, { signal, version, onStalled, reusesPieces: true })
  const { headers } = request
  if (headers['if-match'] !== undefined && !matchesTag(headers['if-match'], whole.tag, 'strong')) throw hasChanged()
  if (headers['if-none-match'] !== undefined && matchesTag(headers['if-none-match'], whole.tag, 'weak')) {
    const { 'content-length': _length, 'content-type': _type, ...rest } = fileHeaders(whole, false)
    return reply.code(304).headers(rest).send()
  }
  const isHead = request.method === 'HEAD'
  const isSame = headers['if-range'] === undefined || matchesTag(String(headers['if-range']), whole.tag, 'strong')
  // Only GET has ranges.
  const range = isSame && !isHead ? parseRange(headers.range, whole.size) : undefined
  const file = range === undefined ? whole : whole.part(range)
  const isPart = range !== undefined
  const named = isHead ? undefined : await openNamed(request, context, 'fill')
  if (named !== undefined) {
    const { 'content-length': _length, ...rest } = fileHeaders(file, isPart)
    return fillNamed(context, named, { reply, file, headers: rest })
  }
  if (!isHead) return send(context, reply, file, isPart)
  reply.hijack()
  reply.raw.writeHead(200, fileHeaders(file, isPart)).end()
  return reply
}

async function send(
  { transfers, log }: RouteContext,
  reply: FastifyReply,
  file: OpenFile,
  isPart: boolean
): Promise<FastifyReply> {
  const headers = fileHeaders(file, isPart)
  // If the node fails before the first byte, the answer can still have the status of that failure.
  const pieces = await begin(file)
  const { id, end } = transfers.begin()
  reply.hijack()
  const response = reply.raw
  // If the node delivers fewer bytes than announced, this must not look like the end of the file.
  response.strictContentLength = true
  response.writeHead(isPart ? 206 : 200, { ...headers, 'dfs-transfer': id })
  try {
    for await (const bytes of pieces) await flushTo(response, bytes)
    // The end is recorded before the last byte is sent, because a client that has read the last byte may ask for the
    // transfer immediately.
    end(file.from)
    response.end()
  } catch (error) {
    log('a download broke off', error)
    end(file.from, error)
    // If the response ended normally, the client would take this part for the whole file.
    response.destroy()
  }
  return reply
}

function hasChanged(): HttpError {
  return new HttpError(412, 'changed', 'the file has changed: read its facts again')
}

function fileHeaders(file: OpenFile, isPart: boolean): Record<string, string | number> {
  const { size, range, tag, mode } = file
  // Another member may have stored a time that is not valid.
  const modified = Number.isNaN(file.modified.getTime()) ? new Date(0) : file.modified
  const type = file.type !== undefined && MEDIA_TYPE.test(file.type) ? file.type : 'application/octet-stream'
  return {
    'content-type': type,
    'content-length': range.to - range.from,
    ...(isPart ? { 'content-range': `bytes ${range.from}-${range.to - 1}/${size}` } : {}),
    'accept-ranges': 'bytes',
    etag: `"${tag}"`,
    'last-modified': modified.toUTCString(),
    'dfs-modified': modified.toISOString(),
    ...(mode === undefined ? {} : { 'dfs-mode': mode.toString(8) }),
    'dfs-version': file.version,
    'cache-control': 'private, no-cache',
    // A stored file may be a page that an attacker wrote, so no browser may run it.
    'content-security-policy': 'sandbox',
    'x-content-type-options': 'nosniff',
    'content-disposition': SHOWN.test(type) ? 'inline' : 'attachment'
  }
}

function putOptions(request: FastifyRequest): PutOptions {
  const query = queryOf(request)
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch, 'content-type': type } = request.headers
  if (ifNoneMatch !== undefined && ifNoneMatch.trim() !== '*')
    throw new HttpError(400, 'invalid', 'a put accepts no If-None-Match other than *')
  if (ifNoneMatch !== undefined && ifMatch !== undefined)
    throw new HttpError(400, 'invalid', 'If-Match and If-None-Match exclude each other: give one of them')
  return {
    ...rulesOf(query),
    ...factsOf({ modified: query.get('modified'), mode: query.get('mode'), type }),
    ...(ifNoneMatch === undefined ? {} : { ifTag: null }),
    ...(ifMatch === undefined ? {} : { ifTag: tagIn(ifMatch) })
  }
}
