import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { writeTo } from '../flow/write.ts'
import type { DfsNode, OpenFile, PutOptions } from '../index.ts'
import { goneSignal, withBody } from './body.ts'
import { HttpError } from './errors.ts'
import { factsOf, matchesTag, parseRange, pathOf, queryOf, rulesOf, tagIn } from './request.ts'
import type { Transfers } from './transfers.ts'

const URL = '/v1/files/*'

/** A media type with plain parameters. What another member stored as one is not believed to be one. */
const MEDIA_TYPE = /^[\w.+-]+\/[\w.+-]+( *; *[\w-]+=[\w.+-]+)*$/

/** Types that a browser may show: none of them runs anything. The rest is only ever downloaded. */
const SHOWN = /^(image\/(?!svg)[\w.+-]+|audio\/[\w.+-]+|video\/[\w.+-]+|application\/pdf|text\/plain)( *;.*)?$/i

/** `GET|HEAD|PUT|DELETE /v1/files/PATH`. SPEC.md has every header. */
export function serveFiles(app: FastifyInstance, node: DfsNode, transfers: Transfers): void {
  app.route({
    method: ['GET', 'HEAD'],
    url: URL,
    exposeHeadRoute: false,
    handler: (request, reply) => download(node, transfers, request, reply)
  })
  app.put(URL, async (request, reply) => {
    const options = { ...putOptions(request), signal: goneSignal(reply.raw) }
    const result = await withBody(request.raw, body => node.put(pathOf(request), body, options))
    return reply.code(201).header('etag', `"${result.tag}"`).send(result)
  })
  app.delete(URL, async (request, reply) => {
    const ifMatch = request.headers['if-match']
    return node.remove(pathOf(request), {
      recursive: queryOf(request).get('recursive') === 'true',
      signal: goneSignal(reply.raw),
      ...(ifMatch === undefined || ifMatch === '*' ? {} : { ifTag: tagIn(ifMatch) })
    })
  })
}

async function download(
  node: DfsNode,
  transfers: Transfers,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<FastifyReply> {
  const signal = goneSignal(reply.raw)
  const path = pathOf(request)
  const whole = await node.get(path, { signal })
  const { headers } = request
  if (headers['if-match'] !== undefined && !matchesTag(headers['if-match'], whole.tag, 'strong'))
    throw new HttpError(412, 'changed', 'the file has changed')
  if (headers['if-none-match'] !== undefined && matchesTag(headers['if-none-match'], whole.tag, 'weak')) {
    const { 'content-length': _length, 'content-type': _type, ...rest } = fileHeaders(whole, false)
    return reply.code(304).headers(rest).send()
  }
  const isHead = request.method === 'HEAD'
  const isSame = headers['if-range'] === undefined || matchesTag(String(headers['if-range']), whole.tag, 'strong')
  // A range means something to GET alone.
  const range = isSame && !isHead ? parseRange(headers.range, whole.size) : undefined
  const file = range === undefined ? whole : await node.get(path, { signal, range })
  // Between the two the file may have been replaced: a range of another content is no answer.
  if (file.tag !== whole.tag) throw new HttpError(412, 'changed', 'the file has changed')
  const isPart = range !== undefined
  if (!isHead) return send(reply, file, isPart, transfers)
  reply.hijack()
  reply.raw.writeHead(200, fileHeaders(file, isPart)).end()
  return reply
}

async function send(reply: FastifyReply, file: OpenFile, isPart: boolean, transfers: Transfers): Promise<FastifyReply> {
  const headers = fileHeaders(file, isPart)
  const pieces = file[Symbol.asyncIterator]()
  // What fails before the first byte is still an answer of its own.
  const first = await pieces.next()
  const { id, end } = transfers.begin()
  reply.hijack()
  const response = reply.raw
  // Fewer bytes than announced are an error of ours, and must not look like the end.
  response.strictContentLength = true
  response.writeHead(isPart ? 206 : 200, { ...headers, 'dfs-transfer': id })
  try {
    if (first.done !== true) await writeTo(response, first.value)
    for await (const bytes of { [Symbol.asyncIterator]: () => pieces }) await writeTo(response, bytes)
    // Noted first: who has read the last byte may ask at once.
    end(file.from)
    response.end()
  } catch (error) {
    end(file.from, error)
    // A clean end would pass what came for the whole.
    response.destroy()
    void pieces.return?.().catch(() => {})
  }
  return reply
}

function fileHeaders(file: OpenFile, isPart: boolean): Record<string, string | number> {
  const { size, range, tag, mode } = file
  // What another member stored as a time may be none.
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
    // What is stored is an attacker's page until proven otherwise.
    'content-security-policy': 'sandbox',
    'x-content-type-options': 'nosniff',
    'content-disposition': SHOWN.test(type) ? 'inline' : 'attachment'
  }
}

function putOptions(request: FastifyRequest): PutOptions {
  const query = queryOf(request)
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch, 'content-type': type } = request.headers
  if (ifNoneMatch !== undefined && ifNoneMatch.trim() !== '*')
    throw new HttpError(400, 'invalid', 'a put knows only If-None-Match: *')
  if (ifNoneMatch !== undefined && ifMatch !== undefined)
    throw new HttpError(400, 'invalid', 'If-Match and If-None-Match exclude each other')
  return {
    ...rulesOf(query),
    ...factsOf({ modified: query.get('modified'), mode: query.get('mode'), type }),
    ...(ifNoneMatch === undefined ? {} : { ifTag: null }),
    ...(ifMatch === undefined ? {} : { ifTag: tagIn(ifMatch) })
  }
}
