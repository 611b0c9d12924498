/**
 * The disk, as a port: what the store needs of a file system and nothing more, so that a test can put a disk beneath it
 * that fills up, fails, or forgets at a crash whatever was not synced. Paths are relative to the data directory, with
 * `/` between parts. Errors are those of `errors.ts`.
 *
 * What an implementation owes: bytes are durable once `sync` (or a write that says it syncs) has resolved; a name,
 * once `syncDirectory` of its folder has.
 */
export interface Files {
  /** Makes a folder and those above it, readable by the owner alone. */
  makeDirectory(path: string): Promise<void>
  /** Names in a folder, in no order; none if there is no such folder. */
  list(path: string): Promise<string[]>
  /** Makes the names in a folder durable. Where the platform cannot, it resolves and `namesAreDurable` is false. */
  syncDirectory(path: string): Promise<void>
  readonly namesAreDurable: boolean

  /** Size in bytes, or undefined if there is no file of this name; a folder is none. */
  size(path: string): Promise<number | undefined>
  /** A whole file, in a buffer that is the caller's own. */
  read(path: string): Promise<Uint8Array>
  /**
   * Writes a new file, readable by the owner alone, and syncs it; an existing one is an error. After an error a part of
   * it may be there. The parts are the caller's own again once it has resolved.
   */
  writeNew(path: string, parts: readonly Uint8Array[]): Promise<void>
  /** Atomically replaces what is at `to`. */
  rename(from: string, to: string): Promise<void>
  /** Removes a file; that it is not there is no error. */
  remove(path: string): Promise<void>
  /** Removes a folder and all in it; that it is not there is no error. */
  removeDirectory(path: string): Promise<void>

  /** Opens a file for reading at offsets. What is open can be read on after it was removed. */
  openRead(path: string): Promise<ReadFile>
  /** Opens a file for appending, making it if it is missing. */
  openAppend(path: string): Promise<AppendFile>

  /** Bytes of the file system: all of it, and what this user may still write. */
  space(): Promise<{ totalBytes: number; freeBytes: number }>
}

export interface ReadFile {
  /** `length` bytes from `offset`; fewer if the file ends before. */
  read(offset: number, length: number): Promise<Uint8Array>
  close(): Promise<void>
}

export interface AppendFile {
  /** Bytes in the file. */
  readonly size: number
  /** Appends at the end. After an error the file may hold a part of it: `truncate` before the next. */
  append(bytes: Uint8Array): Promise<void>
  sync(): Promise<void>
  truncate(size: number): Promise<void>
  close(): Promise<void>
}

/** Writes a small file so that a crash leaves either the old or the new one, never a part. */
export async function replaceFile(files: Files, path: string, bytes: Uint8Array): Promise<void> {
  const temp = `${path}.new`
  await files.remove(temp)
  await files.writeNew(temp, [bytes])
  await files.rename(temp, path)
  await files.syncDirectory(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '')
}
