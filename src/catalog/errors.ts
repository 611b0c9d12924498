import { PATH_BYTES_MAX } from '../format/constants.ts'
import { DfsError } from '../util/errors.ts'

/** Nothing is at the path. */
export class NotFoundError extends DfsError {
  override readonly name = 'NotFoundError'
  override readonly code = 'not-found'
}

/** Something is at the path already, and must not be replaced. */
export class ExistsError extends DfsError {
  override readonly name = 'ExistsError'
  override readonly code = 'exists'
}

/** The file has changed since the caller looked at it. */
export class ChangedError extends DfsError {
  override readonly name = 'ChangedError'
  override readonly code = 'changed'
}

/** A part of the path that should be a directory is a file. */
export class NotADirectoryError extends DfsError {
  override readonly name = 'NotADirectoryError'
  override readonly code = 'not-a-directory'
}

/** The path is a directory where a file is needed. */
export class IsADirectoryError extends DfsError {
  override readonly name = 'IsADirectoryError'
  override readonly code = 'is-a-directory'
}

/**
 * Something would have a path that is too long. The message does not name it, as no message of a `DfsError` does; `path`
 * says which it is, as it is now.
 */
export class PathTooLongError extends DfsError {
  override readonly name = 'PathTooLongError'
  override readonly code = 'invalid'
  readonly path: string

  constructor(path: string, bytes: number) {
    super(`its path would have ${bytes} bytes, and a path has at most ${PATH_BYTES_MAX}: choose a shorter name`)
    this.path = path
  }
}

/** How a version ended, as `Versions.endOf` says it. */
interface EndOfVersion {
  endedAtMs: number | null
  expiresAtMs: number | null
  purgedAtMs: number | null
  isPurged: boolean
}

/** The content of a version is no longer kept. */
export class VersionExpiredError extends DfsError {
  override readonly name = 'VersionExpiredError'
  override readonly code = 'not-found'

  constructor({ endedAtMs, expiresAtMs, purgedAtMs, isPurged }: EndOfVersion) {
    if (isPurged && purgedAtMs !== null) {
      super(`this version is gone: it was purged on ${dayOf(purgedAtMs)}`)
      return
    }
    const ended = endedAtMs === null ? '' : `: it was replaced or removed on ${dayOf(endedAtMs)}`
    const until = expiresAtMs === null ? '' : `${ended === '' ? ':' : ', and'} it was kept until ${dayOf(expiresAtMs)}`
    super(`this version is gone${ended}${until}`)
  }
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}

/** The message for a key that is not here. */
export const NO_KEY =
  'this machine has not received the key of the network yet: it comes with the next member that connects'
/** The message for an entry whose record does not open. */
export const UNREADABLE = 'this entry cannot be read: it can only be removed'

/** The key that opens this has not reached this member yet. */
export class NoKeyError extends DfsError {
  override readonly name = 'NoKeyError'
  override readonly code = 'unreachable'
}

/** The entry's record cannot be opened, or breaks a rule. The entry is listed, but its content cannot be read. */
export class DamagedEntryError extends DfsError {
  override readonly name = 'DamagedEntryError'
  override readonly code = 'damaged'
}
