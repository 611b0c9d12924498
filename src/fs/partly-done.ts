import { PathTooLongError } from '../catalog/errors.ts'
import { DfsError, type ErrorCode, isAbort } from '../util/errors.ts'

/**
 * A verb on a directory failed after it had changed a part of the directory, and that part is not undone. `cause` is
 * the error that ended the verb, and `code` is that error's code.
 */
export class PartlyDoneError extends DfsError {
  override readonly name = 'PartlyDoneError'
  override readonly code: ErrorCode
  /** The path in the directory that the cause is about, if that is known. */
  readonly path: string | undefined

  constructor(cause: DfsError, done: string, path: string | undefined) {
    super(`${cause.message}; ${done}`, { cause })
    this.code = cause.code
    this.path = cause instanceof PathTooLongError ? cause.path : path
  }
}

/**
 * Returns the error to throw when a verb on a directory fails. If `count` is above 0, the error also says what was
 * `done` before, and at which path it failed, if that is given. An abort stays an abort, because the caller ended the
 * verb.
 */
export function partlyDone(error: unknown, count: number, done: string, path?: string): unknown {
  return count > 0 && error instanceof DfsError && !isAbort(error) ? new PartlyDoneError(error, done, path) : error
}
