import type { Failure } from './errors.ts'

/**
 * The header of a request that names a file of this machine, in place of sending or receiving its bytes: the daemon
 * opens the file by itself. SPEC.md in http/ says when it does.
 */
export const FILE_HEADER = 'dfs-file'
/** The code of a refusal to use a named file. The client sends or receives the bytes instead. */
export const FILE_UNUSABLE = 'file-unusable'
/** The code of a put whose named file has changed while it was read. */
export const FILE_CHANGED = 'file-changed'

/**
 * A file of this machine, as the client found it. All numbers are decimal text, because a `number` does not hold every
 * inode or every nanosecond.
 */
export interface NamedFile {
  /** Absolute. */
  path: string
  dev: string
  ino: string
  size: string
  mtimeNs: string
  ctimeNs: string
}

/** The fields that the file system states about a file. */
const STATED = ['dev', 'ino', 'size', 'mtimeNs', 'ctimeNs'] as const

/** What `stat` with `bigint` returns. */
type Stats = Readonly<Record<(typeof STATED)[number], bigint>>

export function namedFile(path: string, { dev, ino, size, mtimeNs, ctimeNs }: Stats): NamedFile {
  return { path, dev: `${dev}`, ino: `${ino}`, size: `${size}`, mtimeNs: `${mtimeNs}`, ctimeNs: `${ctimeNs}` }
}

/** Returns true if a file is the one that was named, and has not changed since. */
export function isNamed(file: NamedFile, stats: Stats): boolean {
  return STATED.every(field => file[field] === `${stats[field]}`)
}

export function encodeNamedFile(file: NamedFile): string {
  return encodeURIComponent(JSON.stringify(file))
}

/**
 * A line of the answer to a request that names a file: how many bytes were read or written so far, or as the last line
 * how it ended.
 */
export interface NamedFileLine<Result> {
  bytes?: number
  result?: Result
  error?: Failure
}
