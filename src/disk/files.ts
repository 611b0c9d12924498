/**
 * The disk, as a port. It has only what the store needs of a file system, so that a test can use a disk that fills up,
 * fails, or at a crash forgets everything that was not synced. Paths are relative to the data directory, with `/`
 * between parts. Errors are the classes in `errors.ts`.
 *
 * Every implementation must keep two promises. Bytes are durable once `sync`, or a write that promises to sync, has
 * resolved. A name is durable once `syncDirectory` of its folder has resolved.
 */
export interface Files {
  /** Creates a folder and its parents, readable by the owner only. An existing folder is not an error. */
  makeDirectory(path: string): Promise<void>
  /** Returns the names in a folder, in no order. If there is no such folder, the list is empty. */
  list(path: string): Promise<string[]>
  /**
   * Makes the names in a folder durable. On a platform that cannot do that, this still resolves, and `namesAreDurable`
   * is false.
   */
  syncDirectory(path: string): Promise<void>
  readonly namesAreDurable: boolean

  /** Returns the size in bytes, or undefined if there is no file with this name. A folder is not a file. */
  size(path: string): Promise<number | undefined>
  /** Returns the whole content of a file in a buffer that belongs to the caller. */
  read(path: string): Promise<Uint8Array>
  /**
   * Writes a new file, readable by the owner only, and syncs it. It is an error if the file exists. After an error, the
   * file may exist with a part of the bytes. The caller must not change `parts` before this has settled.
   */
  writeNew(path: string, parts: readonly Uint8Array[]): Promise<void>
  /**
   * Overwrites bytes of an existing file in place, and syncs it. Its length stays the same, so a usual file system needs
   * no more space for this. After an error or a power cut, each byte of the pieces is either the old or the new one.
   */
  overwrite(path: string, pieces: readonly FilePiece[], hints?: OpenHints): Promise<void>
  /** Renames a file, and atomically replaces any file at `to`. */
  rename(from: string, to: string): Promise<void>
  /** Removes a file. A missing file is not an error. */
  remove(path: string): Promise<void>
  /** Removes a folder and everything in it. A missing folder is not an error. */
  removeDirectory(path: string): Promise<void>

  /** Opens a file for reading at offsets. An open file can still be read after it was removed. */
  openRead(path: string, hints?: OpenHints): Promise<ReadFile>
  /** Opens a file for appending, and creates it if it is missing. */
  openAppend(path: string, hints?: OpenHints): Promise<AppendFile>

  /** Returns the size of the file system in bytes, and the number of bytes that this user may still write. */
  space(): Promise<{ totalBytes: number; freeBytes: number }>
}

export interface OpenHints {
  /**
   * Read and write large pieces past the page cache, if the file system can do that, and if what is written begins at a
   * multiple of `PAGE_BYTES` and is one.
   */
  isPastCache?: boolean
}

/** Bytes to write at one offset of a file. */
export interface FilePiece {
  offset: number
  bytes: Uint8Array
}

/** A file that is open for reading. Several reads may be under way concurrently. The caller must close the file. */
export interface ReadFile {
  /** Returns `length` bytes from `offset`, or fewer if the file ends earlier. The buffer belongs to the caller. */
  read(offset: number, length: number): Promise<Uint8Array>
  close(): Promise<void>
}

/**
 * A file that is open for appending. Only one call may be under way. The caller must close the file. Closing does not
 * sync it.
 */
export interface AppendFile {
  /** The number of bytes in the file, including those that are not durable yet. */
  readonly size: number
  /**
   * Appends at the end, one part after another. The caller must not change them before this has settled. After an error
   * the file may hold some of the bytes: call `truncate` before the next `append`.
   */
  append(parts: readonly Uint8Array[]): Promise<void>
  /** Makes everything that was appended or truncated durable. After an error none of it counts as durable. */
  sync(): Promise<void>
  /** Cuts the file to this many bytes. The next `append` begins there. */
  truncate(size: number): Promise<void>
  close(): Promise<void>
}

/**
 * Replaces a small file. It is durable when this resolves. After a crash there is either the old file or the new one,
 * and never a part of one.
 */
export async function replaceFile(files: Files, path: string, bytes: Uint8Array): Promise<void> {
  const temp = `${path}.new`
  await files.remove(temp)
  await files.writeNew(temp, [bytes])
  await files.rename(temp, path)
  await files.syncDirectory(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '')
}
