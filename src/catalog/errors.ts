import { DfsError } from '../util/errors.ts'

/** Nothing is at the path. */
export class NotFoundError extends DfsError {
  override readonly name = 'NotFoundError'
  override readonly code = 'not-found'
}

/** Something is at the path already, and was not to be replaced. */
export class ExistsError extends DfsError {
  override readonly name = 'ExistsError'
  override readonly code = 'exists'
}

/** The file is not the one that the caller knew. */
export class ChangedError extends DfsError {
  override readonly name = 'ChangedError'
  override readonly code = 'changed'
}

/** A part of the path that should be a directory is a file. */
export class NotADirectoryError extends DfsError {
  override readonly name = 'NotADirectoryError'
  override readonly code = 'not-a-directory'
}

/** The path is a directory, and a file was asked for. */
export class IsADirectoryError extends DfsError {
  override readonly name = 'IsADirectoryError'
  override readonly code = 'is-a-directory'
}

/** The record of this entry does not open, or says what no record may: its place is shown, its content is not. */
export class DamagedEntryError extends DfsError {
  override readonly name = 'DamagedEntryError'
  override readonly code = 'damaged'
}
