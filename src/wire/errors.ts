import { DfsError, type ErrorCode } from '../util/errors.ts'

/**
 * The ways in which an exchange can end. The list is closed, so that a remote's own words never reach a user, and ours
 * never reach a remote.
 */
export const STATUSES = [
  'ok',
  'busy',
  'clock-off',
  'duplicate',
  'forbidden',
  'full',
  'internal',
  'invalid',
  'lacking',
  'not-admitted',
  'not-found',
  'over-limit',
  'unknown-grant',
  'unsupported',
  'view-differs',
  'wrong-network'
] as const
export type WireStatus = (typeof STATUSES)[number]

const CODES: Partial<Record<WireStatus, ErrorCode>> = {
  busy: 'busy',
  'clock-off': 'clock-off',
  duplicate: 'not-allowed',
  forbidden: 'not-allowed',
  full: 'no-space',
  'not-admitted': 'not-allowed',
  'not-found': 'not-found',
  'over-limit': 'over-limit',
  unsupported: 'unsupported',
  'wrong-network': 'wrong-network'
}

/** A peer answered with a status other than `ok`. */
export class RefusedError extends DfsError {
  override readonly name = 'RefusedError'
  override readonly code: ErrorCode
  readonly status: WireStatus
  /** What else the peer answered. Nothing of it has been checked. */
  readonly fields: Record<string, unknown>

  constructor(status: WireStatus, fields: Record<string, unknown> = {}) {
    super(`the peer answered: ${status}`)
    this.status = status
    this.fields = fields
    this.code = CODES[status] ?? 'protocol'
  }
}

/** A peer sent something that the protocol does not allow. The stream ends, and the peer is blamed. */
export class ProtocolError extends DfsError {
  override readonly name = 'ProtocolError'
  override readonly code = 'protocol'
}

/** The stream or the connection ended before the answer came. */
export class DisconnectedError extends DfsError {
  override readonly name = 'DisconnectedError'
  override readonly code = 'unreachable'
}

/** Another process listens on a port that we were told to listen on. */
export class PortTakenError extends DfsError {
  override readonly name = 'PortTakenError'
  override readonly code = 'port-taken'
  readonly port: number

  constructor(port: number, holder: string | undefined) {
    super(`port ${port} is taken${holder === undefined ? '' : ` by ${holder}`}: free it, or give another --listen`)
    this.port = port
  }
}
