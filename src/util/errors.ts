/**
 * The closed list of what can go wrong, as a face reports it. A code is stable: scripts match on it, and the command
 * line turns it into an exit code. Which of them a failure bears is decided where the failure is understood.
 */
export type ErrorCode =
  | 'aborted'
  | 'busy'
  | 'changed'
  | 'clock-off'
  | 'corrupt'
  | 'damaged'
  | 'exists'
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
  | 'unreachable'
  | 'unsupported'
  | 'wrong-key'
  | 'wrong-network'

/**
 * What every error of this program is. Subclasses set a `name` of their own, which callers compare; `code` is what the
 * faces report. A message says what to do, and never holds a secret, a path of the user's or a remote's own words.
 */
export abstract class DfsError extends Error {
  abstract readonly code: ErrorCode
}

/** The caller gave something that can never work: a bad path, a bad option, a size over its limit. */
export class InvalidInputError extends DfsError {
  override readonly name = 'InvalidInputError'
  override readonly code = 'invalid'
}

/** A limit that protects memory, disk or a peer was reached. */
export class OverLimitError extends DfsError {
  override readonly name = 'OverLimitError'
  override readonly code = 'over-limit'
}

/** Something waited for did not happen in time. */
export class DeadlineError extends DfsError {
  override readonly name = 'DeadlineError'
  override readonly code = 'unreachable'
}

/** The part that was asked has been stopped. */
export class StoppedError extends DfsError {
  override readonly name = 'StoppedError'
  override readonly code = 'aborted'
}

/** True for the error an `AbortSignal` raises, whoever aborted it; a deadline is not an abort. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'StoppedError')
}

/** The code that a face reports for any thrown value; what we do not know is `io`. */
export function codeOf(error: unknown): ErrorCode {
  if (error instanceof DfsError) return error.code
  if (isAbort(error)) return 'aborted'
  // What `AbortSignal.timeout` raises: a caller's own deadline.
  return error instanceof Error && error.name === 'TimeoutError' ? 'unreachable' : 'io'
}
