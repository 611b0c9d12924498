import { DfsError } from '../util/errors.ts'
import { systemWords } from '../util/system-words.ts'

/**
 * The disk, its quota or the configured capacity has no room left. Nothing was lost. Writes succeed again once there is
 * room.
 */
export class NoSpaceError extends DfsError {
  override readonly name = 'NoSpaceError'
  override readonly code = 'no-space'
}

/** The operating system refuses to let this process read or write. */
export class ReadOnlyError extends DfsError {
  override readonly name = 'ReadOnlyError'
  override readonly code = 'read-only'
}

/**
 * The disk reported an error. The bytes of a failed write are not durable. The bytes of a failed read may still be
 * there.
 */
export class DiskError extends DfsError {
  override readonly name = 'DiskError'
  override readonly code = 'io'
}

/** There is no file with that name. */
export class FileMissingError extends DfsError {
  override readonly name = 'FileMissingError'
  override readonly code = 'not-found'
}

/**
 * The index cannot be used: rows are damaged or missing, or it belongs to another store. It can be rebuilt without a
 * loss.
 */
export class IndexCorruptError extends DfsError {
  override readonly name = 'IndexCorruptError'
  override readonly code = 'corrupt'
  /** The number of damaged stretches that only the old index knew about. */
  readonly damagedStretches: number

  constructor(
    message: string,
    { damagedStretches = 0, ...options }: ErrorOptions & { damagedStretches?: number } = {}
  ) {
    super(message, options)
    this.damagedStretches = damagedStretches
  }
}

/** A row of a segment does not match its checksum. */
export class RowCorruptError extends DfsError {
  override readonly name = 'RowCorruptError'
  override readonly code = 'corrupt'
}

/** Another process is using this data directory. */
export class LockedError extends DfsError {
  override readonly name = 'LockedError'
  override readonly code = 'locked'
}

/**
 * The passphrase is wrong, or it is missing for a sealed keystore, or it was given for a keystore that is not sealed.
 */
export class WrongPassphraseError extends DfsError {
  override readonly name = 'WrongPassphraseError'
  override readonly code = 'wrong-key'
}

/** A file of the data directory is damaged, or belongs to another version of this program or to another store. */
export class UnknownLayoutError extends DfsError {
  override readonly name = 'UnknownLayoutError'
  override readonly code = 'unsupported'
}

/** No data directory can be at this path, or the directory there belongs to somebody else. Nothing was changed. */
export class UnusableDirectoryError extends DfsError {
  override readonly name = 'UnusableDirectoryError'
  override readonly code = 'invalid'
}

/** Translates an error of the operating system into one of our errors. The message contains no path. */
export function asDiskError(cause: unknown): DfsError {
  if (cause instanceof DfsError) return cause
  const code = (cause as NodeJS.ErrnoException).code ?? 'unknown'
  switch (code) {
    case 'ENOENT':
      return new FileMissingError('a file or folder that should be in the data directory does not exist', { cause })
    case 'ENOSPC':
      return new NoSpaceError('the disk is full: free some space on it', { cause })
    case 'EDQUOT':
      return new NoSpaceError('the disk quota is used up: free some space, or raise the quota', { cause })
    case 'EROFS':
    case 'EACCES':
    case 'EPERM':
      return new ReadOnlyError(
        `cannot read or write the data directory (${systemWords(code)}): check its owner, its permissions and how the disk is mounted`,
        { cause }
      )
    default:
      return new DiskError(`cannot read or write the data directory: ${systemWords(code)}`, { cause })
  }
}
