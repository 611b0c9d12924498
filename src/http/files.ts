import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Copies, DfsNode, OpenFile, PutOptions } from '../index.ts'
import { describe, HttpError } from './errors.ts'
import { goneSignal, matchesTag, parseRange, pathAfter, queryOf } from './request.ts'
import type { Transfers } from './transfers.ts'

const PREFIX = '/v1/files/'

/** Types that a browser may show: none of them runs anything. The rest is only ever downloaded. */
const SHOWN = /^(image\/(?!svg)[\w.+-]+|audio\/[\w.+-]+|video\/[\w.+-]+|application\/pdf|text\/plain)$/

/** `GET|HEAD|PUT|DELETE /v1/files/PATH`. SPEC.md has every header. */
export function serveFiles(app: FastifyInstance, node: DfsNode, transfers: Transfers): void {
  app.route({
    method: ['GET', 'HEAD'],
    url: `${PREFIX}*`,
    exposeHeadRoute: false,
    handler: (request, reply) => download(node, transfers, request, reply)
  })
  app.put(`${PREFIX}*`, async (request, reply) => {
    const signal = goneSignal(reply.raw)
    const result = await node.put(pathAfter(request, PREFIX), request.raw, { ...putOptions(request), signal })
    return reply.code(201).header('etag', `"${result.tag}"`).send(result)
  })
  app.delete(`${PREFIX}*`, async request => {
    const ifMatch = request.headers['if-match']
    return node.remove(pathAfter(request, PREFIX), {
      recursive: queryOf(request).get('recursive') === 'true',
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
  const path = pathAfter(request, PREFIX)
  const whole = await node.get(path, { signal })
  const { headers } = request
  if (headers['if-match'] !== undefined && !matchesTag(headers['if-match'], whole.tag))
    throw new HttpError(412, 'changed', 'the file has changed')
  if (headers['if-none-match'] !== undefined && matchesTag(headers['if-none-match'], whole.tag))
    return reply.code(304).header('etag', `"${whole.tag}"`).send()
  const isSame = headers['if-range'] === undefined || matchesTag(String(headers['if-range']), whole.tag)
  const range = isSame ? parseRange(headers.range, whole.size) : undefined
  const file = range === undefined ? whole : await node.get(path, { signal, range })
  // Between the two the file may have been replaced: a range of another content is no answer.
  if (file.tag !== whole.tag) throw new HttpError(412, 'changed', 'the file has changed')
  const isEmptyBody = request.method === 'HEAD'
  const end: { done: boolean; error?: { code: string; message: string } } = { done: isEmptyBody }
  const id = transfers.add(() => ({ ...end, from: file.from }))
  reply.hijack()
  const response = reply.raw
  response.writeHead(range === undefined ? 200 : 206, { ...fileHeaders(file), 'dfs-transfer': id })
  if (isEmptyBody) {
    response.end()
    return reply
  }
  try {
    for await (const bytes of file) await write(response, bytes)
    end.done = true
    response.end()
  } catch (error) {
    const { code, message } = describe(error)
    end.error = { code, message }
    end.done = true
    // A clean end would pass what came for the whole.
    response.destroy()
  }
  return reply
}

async function write(response: ServerResponse, bytes: Uint8Array): Promise<void> {
  if (response.destroyed) throw new DOMException('the other side went away', 'AbortError')
  if (response.write(bytes)) return
  const ended = new AbortController()
  const { signal } = ended
  await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })])
  ended.abort()
}

function fileHeaders(file: OpenFile): Record<string, string | number> {
  const { size, range, tag, modified, type } = file
  const isShown = type !== undefined && SHOWN.test(type)
  return {
    'content-type': type !== undefined && /^[\w.+-]+\/[\w.+-]+$/.test(type) ? type : 'application/octet-stream',
    'content-length': range.to - range.from,
    ...(range.to - range.from === size ? {} : { 'content-range': `bytes ${range.from}-${range.to - 1}/${size}` }),
    'accept-ranges': 'bytes',
    etag: `"${tag}"`,
    'last-modified': modified.toUTCString(),
    'dfs-modified': modified.toISOString(),
    ...(file.mode === undefined ? {} : { 'dfs-mode': file.mode.toString(8) }),
    'dfs-version': file.version,
    'cache-control': 'private, no-cache',
    // What is stored is an attacker's page until proven otherwise.
    'content-security-policy': 'sandbox',
    'x-content-type-options': 'nosniff',
    'content-disposition': isShown ? 'inline' : 'attachment'
  }
}

function putOptions(request: FastifyRequest): PutOptions {
  const query = queryOf(request)
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch, 'content-type': type } = request.headers
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*')
    throw new HttpError(400, 'invalid', 'a put knows only If-None-Match: *')
  const modified = query.get('modified')
  const mode = query.get('mode')
  const date = modified === null ? undefined : new Date(modified)
  if (date !== undefined && Number.isNaN(date.getTime()))
    throw new HttpError(400, 'invalid', 'modified is a time as in RFC 3339')
  if (mode !== null && !/^[0-7]{1,4}$/.test(mode)) throw new HttpError(400, 'invalid', 'mode is octal')
  return {
    replicas: parseCopies(query.get('replicas')),
    ack: parseCopies(query.get('ack')),
    modified: date,
    mode: mode === null ? undefined : Number.parseInt(mode, 8),
    type: type === 'application/octet-stream' ? undefined : type?.slice(0, 255),
    noClobber: query.get('noClobber') === 'true',
    ...(ifNoneMatch === undefined ? {} : { ifTag: null }),
    ...(ifMatch === undefined ? {} : { ifTag: tagIn(ifMatch) })
  }
}

function parseCopies(text: string | null): Copies | undefined {
  if (text === null) return undefined
  return text === 'all' ? 'all' : Number(text)
}

function tagIn(header: string): string {
  const match = /^"([^"]+)"$/.exec(header.trim())
  if (match === null) throw new HttpError(400, 'invalid', 'If-Match names one tag, in quotes')
  return match[1] as string
}
