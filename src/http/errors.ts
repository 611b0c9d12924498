import type { Failure } from '../contract/errors.ts'
import { codeOf, DfsError, type ErrorCode } from '../index.ts'

/**
 * A request that the server itself refuses, mostly before the request reaches the node, but also after `node.get` (412,
 * 416) and in the middle of a bundle (400).
 */
export class HttpError extends Error {
  override readonly name = 'HttpError'
  readonly status: number
  readonly code: string
  /** Further headers of the answer. */
  readonly headers: Record<string, string>

  constructor(status: number, code: string, message: string, headers: Record<string, string> = {}) {
    super(message)
    this.status = status
    this.code = code
    this.headers = headers
  }
}

/** Returns the error for a target that no route of the API has. */
export function noRoute(): HttpError {
  return new HttpError(404, 'not-found', 'the API has no such route')
}

/** Another program is using the port that `--api` names. */
export class ApiPortTakenError extends DfsError {
  override readonly name = 'ApiPortTakenError'
  override readonly code = 'port-taken'
}

/** What the server tells a client about a failure. */
export interface Description extends Failure {
  status: number
}

const STATUS: Record<ErrorCode, number> = {
  aborted: 499,
  busy: 503,
  changed: 412,
  'clock-off': 503,
  corrupt: 500,
  damaged: 500,
  exists: 409,
  expired: 403,
  invalid: 400,
  io: 500,
  'is-a-directory': 409,
  locked: 503,
  'not-a-directory': 409,
  'not-allowed': 403,
  'not-found': 404,
  'no-space': 507,
  'over-limit': 429,
  'port-taken': 500,
  protocol: 502,
  'read-only': 507,
  revoked: 403,
  unreachable: 503,
  unsupported: 501,
  'used-up': 403,
  'wrong-key': 403,
  'wrong-network': 403
}

/**
 * Describes any failure by a code and a sentence that we wrote. It never returns a stack trace or the words of other
 * software.
 */
export function describe(error: unknown): Description {
  if (error instanceof HttpError) return { status: error.status, code: error.code, message: error.message }
  if (isOfFastify(error)) return { status: error.statusCode, code: 'invalid', message: 'the request is malformed' }
  const code = codeOf(error)
  const message = error instanceof DfsError ? error.message : code === 'aborted' ? 'aborted' : 'something went wrong'
  const path = (error as { path?: unknown } | undefined)?.path
  const subject = error instanceof DfsError && typeof path === 'string' ? { path } : {}
  return { status: STATUS[code], code, message, ...subject }
}

/** Describes any failure in the shape that answers and lines have. */
export function errorOf(error: unknown): Failure {
  const { status: _, ...failure } = describe(error)
  return failure
}

// Fastify itself refuses some requests, such as one whose URL cannot be decoded or whose length is not a number.
function isOfFastify(error: unknown): error is { statusCode: number } {
  const { code, statusCode } = error as { code?: unknown; statusCode?: unknown }
  const isRefusal = typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500
  return isRefusal && typeof code === 'string' && code.startsWith('FST_')
}
