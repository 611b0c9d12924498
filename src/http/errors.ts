import { codeOf, DfsError, type ErrorCode } from '../index.ts'

/** The request itself is refused, before it reaches the node. */
export class HttpError extends Error {
  override readonly name = 'HttpError'
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

const STATUS: Record<ErrorCode, number> = {
  aborted: 499,
  busy: 503,
  changed: 412,
  'clock-off': 503,
  corrupt: 500,
  damaged: 500,
  exists: 409,
  invalid: 400,
  io: 500,
  'is-a-directory': 409,
  locked: 503,
  'not-a-directory': 409,
  'not-allowed': 403,
  'not-enough-copies': 503,
  'not-found': 404,
  'no-space': 507,
  'over-limit': 429,
  'port-taken': 500,
  protocol: 502,
  'read-only': 507,
  unreachable: 503,
  unsupported: 501,
  'wrong-key': 403,
  'wrong-network': 403
}

/** What a caller is told of a failure: a code, and a sentence of ours. Never a stack, nor anyone else's words. */
export function describe(error: unknown): { status: number; code: string; message: string } {
  if (error instanceof HttpError) return { status: error.status, code: error.code, message: error.message }
  const code = codeOf(error)
  const message = error instanceof DfsError ? error.message : code === 'aborted' ? 'aborted' : 'something went wrong'
  return { status: STATUS[code], code, message }
}
