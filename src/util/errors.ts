/**
 * The closed list of error codes that the library and the API report. The command line adds `usage` and `failed`. A
 * code is stable: scripts match on it, and the command line turns it into an exit code. Code that throws an error
 * chooses its code at the place where the cause is known.
 */
export type ErrorCode =
  | 'aborted'
  | 'busy'
  | 'changed'
  | 'clock-off'
  | 'corrupt'
  | 'damaged'
  | 'exists'
  | 'expired'
  | 'invalid'
  | 'io'
  | 'is-a-directory'
  | 'locked'
  | 'not-a-directory'
  | 'not-allowed'
  | 'not-found'
  | 'no-space'
  | 'over-limit'
  | 'port-taken'
  | 'protocol'
  | 'read-only'
  | 'revoked'
  | 'unreachable'
  | 'unsupported'
  | 'used-up'
  | 'wrong-key'
  | 'wrong-network'

/**
 * The base of every error of this program. Each subclass sets its own `name`, which callers compare. The command line
 * and the API report `code`. A message says what to do, and never contains a secret, a path of the user or a remote's
 * own words.
 */
export abstract class DfsError extends Error {
  abstract readonly code: ErrorCode
}

/** The caller passed something that can never work: a bad path, a bad option, a size over its limit. */
export class InvalidInputError extends DfsError {
  override readonly name = 'InvalidInputError'
  override readonly code = 'invalid'
}

/** A limit was reached that protects memory, disk or a peer. */
export class OverLimitError extends DfsError {
  override readonly name = 'OverLimitError'
  override readonly code = 'over-limit'
}

/** Something did not happen in time. */
export class DeadlineError extends DfsError {
  override readonly name = 'DeadlineError'
  override readonly code = 'unreachable'
}

/** A source of bytes delivered nothing for so long that others needed the memory reserved for it. */
export class SourceStalledError extends DfsError {
  override readonly name = 'SourceStalledError'
  override readonly code = 'busy'

  constructor() {
    super('the source of this file sent no data for a minute while other files waited for memory: put the file again')
  }
}

/** The component that the caller used has been stopped. */
export class StoppedError extends DfsError {
  override readonly name = 'StoppedError'
  override readonly code = 'aborted'
}

/** Returns true for the error of an `AbortSignal` and for a `StoppedError`. A deadline is not an abort. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'StoppedError')
}

/** Returns the code to report for any thrown value. For an unknown error it is `io`. */
export function codeOf(error: unknown): ErrorCode {
  if (error instanceof DfsError) return error.code
  if (isAbort(error)) return 'aborted'
  // `TimeoutError` is the error of `AbortSignal.timeout`, which a caller may use as its own deadline.
  return error instanceof Error && error.name === 'TimeoutError' ? 'unreachable' : 'io'
}
