import { DfsError } from '../util/errors.ts'

/** The disk, its quota or our own capacity has no room. Nothing was lost; it works again once there is room. */
export class NoSpaceError extends DfsError {
  override readonly name = 'NoSpaceError'
  override readonly code = 'no-space'
}

/** The file system does not let us write at all. */
export class ReadOnlyError extends DfsError {
  override readonly name = 'ReadOnlyError'
  override readonly code = 'read-only'
}

/** The disk answered with an error: what was to be written is not durable, what was to be read may still be there. */
export class DiskError extends DfsError {
  override readonly name = 'DiskError'
  override readonly code = 'io'
}

/** No file of that name. */
export class FileMissingError extends DfsError {
  override readonly name = 'FileMissingError'
  override readonly code = 'not-found'
}

/** The index lacks or garbles a row that it should have. It is derived: rebuilding it loses nothing. */
export class IndexCorruptError extends DfsError {
  override readonly name = 'IndexCorruptError'
  override readonly code = 'corrupt'
  /** Stretches of the segments that the index knew of and that are gone: once it is made anew, nothing tells of them. */
  readonly damagedRows: number

  constructor(message: string, { damagedRows = 0, ...options }: ErrorOptions & { damagedRows?: number } = {}) {
    super(message, options)
    this.damagedRows = damagedRows
  }
}

/** A row of a segment does not match its checksum. */
export class RowCorruptError extends DfsError {
  override readonly name = 'RowCorruptError'
  override readonly code = 'corrupt'
}

/** Another process uses this data directory. */
export class LockedError extends DfsError {
  override readonly name = 'LockedError'
  override readonly code = 'locked'
}

/** The keystore does not open with this passphrase, or is damaged. */
export class WrongPassphraseError extends DfsError {
  override readonly name = 'WrongPassphraseError'
  override readonly code = 'wrong-key'
}

/** The data directory was written by a version of this program that we do not know. */
export class UnknownLayoutError extends DfsError {
  override readonly name = 'UnknownLayoutError'
  override readonly code = 'unsupported'
}

/** Turns what the operating system says into one of our errors; paths stay out of the message. */
export function asDiskError(cause: unknown): DfsError {
  if (cause instanceof DfsError) return cause
  const code = (cause as NodeJS.ErrnoException).code ?? 'unknown'
  switch (code) {
    case 'ENOENT':
      return new FileMissingError('no such file', { cause })
    case 'ENOSPC':
    case 'EDQUOT':
      return new NoSpaceError('the disk is full', { cause })
    case 'EROFS':
    case 'EACCES':
    case 'EPERM':
      return new ReadOnlyError(`the data directory cannot be read or written (${code})`, { cause })
    default:
      return new DiskError(`the disk reported ${code}`, { cause })
  }
}
