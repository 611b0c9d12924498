import type { AbortOptions } from './types.ts'

/** The options and results of the verbs that undo. */

/** A version of a file, or a delete of it. */
export interface VersionItem {
  /** The id of its record, as 64 hex digits. The first 8 are enough to name it, unless several begin with them. */
  version: string
  /** The number of bytes of content; 0 for a delete, and if the record cannot be read. */
  size: number
  /** The time of the file, as it was put. For a delete, the time of the delete. */
  modified: Date
  /** When it was written, by the clock of its author. */
  written: Date
  /** The peer id of the member that wrote it. */
  author: string
  /** The name of that member; null if it is not known. */
  authorName: string | null
  /** True for the content that the path shows. */
  current: boolean
  /** True for content that was written at the same time as the current content, and that nobody has replaced yet. */
  conflict: boolean
  /** True if this is a delete. Restoring it restores what it deleted. */
  deleted: boolean
  /** When it stops being kept here; null while nothing has replaced or deleted it, and for a delete. */
  expires: Date | null
  /** True if it is no longer kept, so that it can be neither read nor restored. */
  expired: boolean
  /** True if it is no longer kept because of a purge. */
  purged: boolean
}

export interface RestoreOptions extends AbortOptions {
  /**
   * The version to restore, by its id or by the first digits of it. By default, the last one before the delete, or, if
   * the file is there, the latest with another content than the current one. A directory has no versions.
   */
  version?: string | undefined
}

export interface RestoreResult {
  path: string
  kind: 'file' | 'directory'
  /** The version that was restored; null for a directory. */
  restored: string | null
  /** The id of the new record; null for a directory. */
  version: string | null
  /** How many files and directories were restored. */
  files: number
  directories: number
  /** How many files were left alone, because something has their names again. */
  left: number
  /** How many files were left out, because their content is no longer kept. */
  gone: number
}
