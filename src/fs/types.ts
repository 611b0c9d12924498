import type { ReadableStream } from 'node:stream/web'

/** The options and results of the verbs. Paths are text from the root, sizes are bytes, and times are dates. */

/** The number of copies of a file: a number of members, or every member. */
export type Copies = number | 'all'

export interface AbortOptions {
  /** When it fires, the verb throws the signal's reason. Records that have been appended by then stay. */
  signal?: AbortSignal | undefined
}

/** Of a move or a copy. */
export interface ClobberOptions extends AbortOptions {
  /** Fail with code `exists` if a file is already at the new path. */
  noClobber?: boolean | undefined
}

/**
 * Bytes to store, in whatever form a program has them: text, which is stored as UTF-8, bytes, a Node.js or web stream, or
 * anything else that yields bytes. A stream that yields text is refused with code `invalid`. A source may use the buffer
 * of a piece again once it is asked for the next piece.
 */
export type Source = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>

export interface PutOptions extends AbortOptions {
  /** By default, this node's setting. */
  replicas?: Copies | undefined
  /**
   * The number of copies that must be durable before the put succeeds. If an explicit number is not reached within 60
   * seconds, the put fails with a `NotEnoughCopiesError` (code `unreachable`). The file is stored nevertheless, and the
   * missing copies are made later. By default, two if a second member can be reached and has room.
   */
  ack?: Copies | undefined
  /** By default, now. */
  modified?: Date | undefined
  /** Media type, up to 255 bytes. */
  type?: string | undefined
  /** Permission bits, up to 0o7777. */
  mode?: number | undefined
  /** Fail with code `exists` if something is already at the path. */
  noClobber?: boolean | undefined
  /**
   * Fail with code `changed` unless the file at the path has this content tag. With null, fail unless there is no file
   * at the path.
   */
  ifTag?: string | null | undefined
}

export interface CopyResult {
  from: string
  path: string
  /** How many files and directories were copied. */
  copied: number
}

export interface PutResult {
  /** The path in NFC. */
  path: string
  /** The size of the whole file in bytes. */
  size: number
  /** The CID of the root; null for files up to 1 KiB, which travel inside their record. */
  root: string | null
  /** The id of the record, as 64 hex digits. */
  version: string
  /** Identifies the content. It changes when the content does, but not when only the path or the metadata change. */
  tag: string
  /** True if the file at the path had this content before, so that only its time, mode or type are new. */
  unchanged: boolean
  /**
   * The peer ids of the members, including this one, that acknowledged the record and hold the blocks that they are
   * counted on for.
   */
  reached: string[]
  /** The lowest number of durable copies that any block of the file has when the put returns. */
  confirmed: number
  /** The number of copies that the settings ask for, but no more than there are members that store blocks. */
  wanted: number
  /**
   * The copies of blocks that members still owe, and who they are. `bytes` is an upper bound. A file that travels inside
   * its record counts as one block, which is owed until one other member has it.
   */
  owed: Owed
  /**
   * Sentences for the owner that say why members do not take what this node stores, such as clocks that differ. Usually
   * empty.
   */
  warnings: string[]
}

/** A number of blocks, and their total size. */
export interface Amount {
  blocks: number
  bytes: number
}

/** Copies that members owe, and the members that are waited for. */
export interface Owed extends Amount {
  waitingFor: AwaitedMember[]
}

/** A member that has not confirmed what it owes. */
export interface AwaitedMember {
  peerId: string
  name: string
  /** When it was last seen; null while it is connected, or if it never was. */
  since: Date | null
}

export interface Range {
  /** The first byte. */
  from: number
  /** The last byte, inclusive. By default, the last byte of the file. */
  to?: number | undefined
}

export interface GetOptions extends AbortOptions {
  range?: Range | undefined
  /**
   * A version of the file, by its id or by the first digits of it, as `versions` yields it. By default the content that
   * the path shows.
   */
  version?: string | undefined
  /**
   * Called if the reader has not asked for the next bytes for a minute, and other readers wait for memory. The bytes
   * that it has do not count as the node's memory from then on. A server should close the connection; others need not
   * do anything.
   */
  onStalled?: (() => void) | undefined
  /**
   * Set it if you have done with the memory of each piece when you ask for the next one. It is used again then, which
   * saves a third of the processor time of a large file.
   */
  reusesPieces?: boolean | undefined
}

/**
 * An open file. It has the file's metadata from the start; iterating it fetches the bytes. Each byte is verified before
 * it is yielded.
 */
export interface OpenFile extends AsyncIterable<Uint8Array> {
  path: string
  /** The size of the whole file in bytes. */
  size: number
  /** The bytes that iteration yields: `from` inclusive, `to` exclusive. */
  range: { from: number; to: number }
  /** The CID of the root; null for content inside the record. */
  root: string | null
  /** The id of the record, as 64 hex digits. */
  version: string
  /** Identifies the content. It changes when the content does, but not when only the path or the metadata change. */
  tag: string
  modified: Date
  /** Media type. */
  type: string | undefined
  /** Permission bits. */
  mode: number | undefined
  /**
   * The number of bytes of content that came from each member so far. Bytes from this node's disk are counted under its
   * own peer id. The numbers are complete once the iteration has ended.
   */
  readonly from: Array<{ peerId: string; bytes: number }>
  /** Returns a range of the same content. Nothing is looked up again, so the file cannot have changed in between. */
  part(range: Range): OpenFile
}

export interface ListOptions extends AbortOptions {
  /** Whether to list everything below too. */
  recursive?: boolean | undefined
  /** Whether to say of each file if all of its blocks are on this disk. The manifests of large files are read for that. */
  here?: boolean | undefined
  /**
   * Whether to list what was deleted instead of what is there. A name that is in use again is left out: its older
   * versions are among those of the file that has it.
   */
  deleted?: boolean | undefined
}

export interface ListItem {
  path: string
  kind: 'file' | 'directory'
  /** The number of bytes of content; 0 for a directory, and for a file whose record cannot be read. */
  size: number
  modified: Date
  /** Permission bits; undefined for a directory, for a file that was put without, and if its record cannot be read. */
  mode?: number | undefined
  /** True if the entry is shown beside another version, or if it is damaged. */
  conflict: boolean
  /** Whether all blocks of a file are on this disk. A listing says it if it is asked to. */
  here?: boolean
  /** When it was deleted, by the clock of the member that did it. Only in a listing of what was deleted. */
  deletedAt?: Date
  /** The peer id of that member. */
  deletedBy?: string
  /** When it stops being restorable, as far as this member knows. */
  expires?: Date | null
}

/** The copies of a file that members say now that they hold. */
export interface CopiesItem {
  path: string
  size: number
  /** As in `Stat.replicas`. */
  wanted: number
  confirmed: number
  /** If fewer are confirmed than wanted, the members that owe a copy and do not say that they have it. */
  waitingFor: AwaitedMember[]
}

/** The metadata of a file or directory. A directory has no root, version, tag or type. */
export interface Stat extends ListItem {
  /** The CID of the root; null for a directory, and for content inside the record. */
  root: string | null
  /** The id of the record whose content is currently visible, as 64 hex digits; null for a directory. */
  version: string | null
  /** Identifies the content, as in `PutResult`; null for a directory. */
  tag: string | null
  /** Media type; undefined if the file has none, or its record cannot be read. */
  type: string | undefined
  /**
   * `wanted` is the number of copies that the settings ask for, but no more than there are members that store blocks.
   * `confirmed` is the lowest number of copies that any chunk has on the members that have just answered. For a
   * directory, it is the number of members whose log was compared with ours, including this one.
   */
  replicas: { wanted: number; confirmed: number }
  /**
   * The number of versions of the file that are kept, the one that shows included; 1 for a directory.
   */
  versions: number
  /** Who wrote the content that shows; null for a directory. */
  writtenBy: Writer | null
  /** The other contents that were written at the same time, and that nobody has chosen between yet. */
  conflicts: ConflictItem[]
}

/** Who wrote a content, and when. */
export interface Writer {
  peerId: string
  /** The name of that member; null if it is not known. */
  name: string | null
  /** By the clock of that member. */
  at: Date
}

/** A content that shows beside a file. */
export interface ConflictItem {
  /** The path under which it shows. */
  path: string
  /** Names it for `restore`, as in `VersionItem`. */
  version: string
  size: number
  writtenBy: Writer
}

export interface RemoveOptions extends AbortOptions {
  /** Whether to delete a directory, and everything below it. */
  recursive?: boolean | undefined
  /**
   * Whether to end the versions too, so that nobody can restore the file and its space returns: at once if this member
   * is an admin, otherwise after 7 days, in which `cancelPurge` brings them back. The path may also be that of something
   * that is deleted already.
   */
  purge?: boolean | undefined
  /** Fail with code `changed` unless the file at the path has this content tag. */
  ifTag?: string | undefined
}

export interface RemoveResult {
  path: string
  /** The id of the record that deletes the entry, as 64 hex digits. */
  version: string
  /** The peer ids of the members that acknowledged the deletion, including this one. */
  removedOn: string[]
  /**
   * The members that have not acknowledged it, and will delete the entry when they are back. Without those that are out.
   */
  waitingFor: AwaitedMember[]
  /** The members that are out. They delete the entry if they come back. */
  out: AwaitedMember[]
  /** When its disk space is freed; null if that is not known. */
  freesAt: Date | null
}

/**
 * Chunks on this disk, with the bytes of their sealed blocks. Manifest nodes are never evicted, and are not counted.
 */
export interface EvictResult {
  path: string
  /** Chunks that were freed. */
  freed: Amount
  /**
   * Chunks that stay here, because other members' copies were not proven or because something else needs the chunks.
   */
  left: Amount
}
