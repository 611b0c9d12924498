import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { Range } from '../index.ts'
import { JSON_BYTES_MAX } from './constants.ts'
import { HttpError } from './errors.ts'

/** The path that follows a route's prefix, each part decoded by itself: an encoded slash is no separator. */
export function pathAfter(request: FastifyRequest, prefix: string): string {
  const url = request.raw.url ?? ''
  const end = url.indexOf('?')
  const encoded = (end < 0 ? url : url.slice(0, end)).slice(prefix.length)
  const parts = encoded.split('/').map(part => {
    try {
      return decodeURIComponent(part)
    } catch {
      throw new HttpError(400, 'invalid', 'the path is not percent-encoded UTF-8')
    }
  })
  if (parts.some(part => part.includes('/'))) throw new HttpError(400, 'invalid', 'a name has no slash')
  return `/${parts.join('/')}`
}

export function queryOf(request: FastifyRequest): URLSearchParams {
  return new URL(request.raw.url ?? '', 'http://localhost').searchParams
}

/** The body of a small JSON request. */
export async function readJson(request: FastifyRequest): Promise<unknown> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of request.raw as AsyncIterable<Buffer>) {
    length += part.byteLength
    if (length > JSON_BYTES_MAX) throw new HttpError(413, 'over-limit', 'the request is too large')
    parts.push(part)
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'))
  } catch {
    throw new HttpError(400, 'invalid', 'the request is not JSON')
  }
}

/** Reads a `Range` header of one range (RFC 9110, section 14). Undefined: the whole file. */
export function parseRange(header: string | undefined, size: number): Range | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  if (match === null || (match[1] === '' && match[2] === '')) return undefined
  const [, first, last] = match
  const range =
    first === ''
      ? { from: Math.max(0, size - Number(last)), to: size - 1 }
      : { from: Number(first), to: last === '' ? size - 1 : Math.min(Number(last), size - 1) }
  if (range.from >= size || range.to < range.from || !Number.isSafeInteger(range.from))
    throw new HttpError(416, 'invalid', `the file has ${size} bytes`)
  return range
}

/** True if a condition header names this tag, or any. */
export function matchesTag(header: string, tag: string): boolean {
  return header === '*' || header.split(',').some(item => item.trim().replace(/^W\//, '') === `"${tag}"`)
}

/** A signal that fires when the other side goes away before it has its answer. */
export function goneSignal(response: ServerResponse): AbortSignal {
  const controller = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) controller.abort()
  })
  return controller.signal
}
