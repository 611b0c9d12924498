import type { FastifyRequest } from 'fastify'
import { HttpError, noRoute } from './errors.ts'

/** The target of a request, in its parts. */
export interface Target {
  /**
   * The text in place of the open end (`*`) of the route, still percent-encoded. Empty for a route without an open end.
   */
  rest: string
  query: URLSearchParams
}

/**
 * A target in origin form (RFC 9112, section 3.2.1) of visible ASCII characters. It has no fragment, where the router
 * would end the path. Bytes beyond ASCII must be percent-encoded, since Node would read them as Latin-1.
 */
const PLAIN = /^\/[!"$-~]*$/
/** Matches where the open end of a route begins. */
const OPEN_END = /[*:]/

/**
 * Parses the target of a request that the router has matched. Nothing else reads the raw URL. The router decodes a path
 * before it compares, so it matches `/v1/%66iles/a` too. Here the fixed part of the route must appear in the target
 * exactly, so that the path that was matched is the one that is used. Throws an `HttpError`: 400 for a target in
 * another form, and 404 for a route that is written differently.
 */
export function targetOf({ raw, routeOptions }: FastifyRequest): Target {
  const url = raw.url ?? ''
  if (!PLAIN.test(url))
    throw new HttpError(400, 'invalid', 'the target of the request is not a percent-encoded path and query')
  const mark = url.indexOf('?')
  const path = mark < 0 ? url : url.slice(0, mark)
  const route = routeOptions.url ?? ''
  const openEnd = route.search(OPEN_END)
  const fixed = openEnd < 0 ? route : route.slice(0, openEnd)
  if (openEnd < 0 ? path !== fixed : !path.startsWith(fixed)) throw noRoute()
  return { rest: path.slice(fixed.length), query: new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1)) }
}

/**
 * Returns the path of the network that a target names. Each part is decoded by itself, so an encoded slash is not a
 * separator. Throws an `HttpError` (400).
 */
export function pathOf(request: FastifyRequest): string {
  return decodePath(targetOf(request).rest)
}

/** Returns the query of a request's target. */
export function queryOf(request: FastifyRequest): URLSearchParams {
  return targetOf(request).query
}

/** Decodes a path without its leading slash, part by part. */
export function decodePath(encoded: string): string {
  const parts = encoded.split('/').map(part => {
    try {
      return decodeURIComponent(part)
    } catch {
      throw new HttpError(400, 'invalid', 'the path is not percent-encoded UTF-8')
    }
  })
  if (parts.some(part => part.includes('/')))
    throw new HttpError(400, 'invalid', 'a name in the path contains an encoded slash')
  return `/${parts.join('/')}`
}
