import { DfsError, type ErrorCode, isAbort } from '../util/errors.ts'

/**
 * A verb on a directory failed after it had taken effect on a part of it, which is not undone. The code is that of the
 * error that ended it, which is the `cause`.
 */
export class PartlyDoneError extends DfsError {
  override readonly name = 'PartlyDoneError'
  override readonly code: ErrorCode

  constructor(cause: DfsError, done: string) {
    super(`${cause.message}; ${done}`, { cause })
    this.code = cause.code
  }
}

/**
 * Returns the error to throw when a verb on a directory fails: one that also says what was `done` before, or the error
 * itself if `count` says that nothing was. An abort stays an abort, since its caller ended the verb.
 */
export function partlyDone(error: unknown, count: number, done: string): unknown {
  return count > 0 && error instanceof DfsError && !isAbort(error) ? new PartlyDoneError(error, done) : error
}
