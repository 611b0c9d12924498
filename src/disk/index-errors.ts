import { StoppedError } from '../util/errors.ts'
import { DiskError, IndexCorruptError, LockedError, NoSpaceError, ReadOnlyError } from './errors.ts'

/**
 * Translates an error of the database into one of our errors. LevelDB says what happened only in words, so this looks for
 * them in the error and its cause. Returns any other error as it is.
 */
export function asIndexError(error: unknown): unknown {
  const { code, cause } = error as { code?: string; cause?: { code?: string; message?: string } }
  const text = `${code} ${cause?.code} ${cause?.message} ${(error as Error).message}`
  if (text.includes('CORRUPTION') || text.includes('Corruption')) return new IndexCorruptError('the index is damaged')
  // A damaged file of LevelDB may name other files that do not exist. The missing file cannot be the directory
  // itself, because LevelDB creates it.
  if (text.includes('No such file or directory')) return new IndexCorruptError('a file of the index is missing')
  if (/EEXIST|ENOTDIR/.test(text))
    return new IndexCorruptError('something that is no directory is in the place of the index')
  if (text.includes('LEVEL_LOCKED'))
    return new LockedError('another process is using this data directory: stop it, or give another --data-dir')
  if (/No space left|quota exceeded/.test(text))
    return new NoSpaceError('the disk is full: free some space on it', { cause: error })
  if (/Read-only file system|Permission denied|not permitted/.test(text))
    return new ReadOnlyError('cannot write the index: check the owner and the permissions of the data directory', {
      cause: error
    })
  if (text.includes('LEVEL_IO_ERROR') || text.includes('IO error'))
    return new DiskError('cannot read or write the index: the system log may say what the disk reported', {
      cause: error
    })
  // A verb may still read when the node stops, or closes an index to rebuild it.
  if (cause === undefined && isNotOpen(error)) return new StoppedError('the index has been closed: try again')
  return error
}

/** Returns true if the database was not open when it was called, or was closed while it was read. */
export function isNotOpen(error: unknown): boolean {
  const { code } = error as { code?: string }
  return code === 'LEVEL_DATABASE_NOT_OPEN' || code === 'LEVEL_ITERATOR_NOT_OPEN'
}
