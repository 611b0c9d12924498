/** The options and results of the verbs. Paths are text from the root, sizes are bytes, and times are dates. */

/** Copies of a file: a number of members, or every one of them. */
export type Copies = number | 'all'

export interface AbortOptions {
  /** Ends the verb with the signal's reason. Records that have been appended by then stay. */
  signal?: AbortSignal | undefined
}

/** Bytes to store, in whatever form a program has them. */
export type Source = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>

export interface PutOptions extends AbortOptions {
  /** By default, this node's setting. */
  replicas?: Copies | undefined
  /**
   * Copies that must be durable before the put says yes. If an explicit number is not met within 60 s, the put fails with
   * a `NotEnoughCopiesError` (code `unreachable`). The file is stored all the same, and its copies are made later.
   */
  ack?: Copies | undefined
  /** By default, now. */
  modified?: Date | undefined
  /** Media type, up to 255 bytes. */
  type?: string | undefined
  /** Permission bits, up to 0o7777. */
  mode?: number | undefined
  /** Fail with code `exists` if there is something at the path. */
  noClobber?: boolean | undefined
  /** Fail with code `changed` unless the file there has this content tag; null: unless there is none. */
  ifTag?: string | null | undefined
}

export interface PutResult {
  /** The path in NFC. */
  path: string
  /** Bytes of the whole file. */
  size: number
  /** The CID of the root; null for files up to 1 KiB, which travel inside their record. */
  root: string | null
  /** Id of the record, 64 hex digits. */
  version: string
  /** Changes with the content and with nothing else. */
  tag: string
  /** Peer ids of the members, this one among them, that acknowledged the record and hold the blocks counted on them. */
  reached: string[]
  /** Copies that the settings ask for, and at most as many as there are members that keep blocks. */
  wanted: number
  /** Copies of blocks that members still owe. The bytes are an upper bound. */
  owed: Amount
}

/** A number of blocks, and their bytes together. */
export interface Amount {
  blocks: number
  bytes: number
}

export interface Range {
  /** First byte. */
  from: number
  /** Last byte, inclusive. By default the last of the file. */
  to?: number | undefined
}

export interface GetOptions extends AbortOptions {
  range?: Range | undefined
}

/** An open file: its facts at once, its bytes when they are iterated. Each byte is verified before it is handed out. */
export interface OpenFile extends AsyncIterable<Uint8Array> {
  path: string
  /** Bytes of the whole file. */
  size: number
  /** The bytes that iteration yields: `from` inclusive, `to` exclusive. */
  range: { from: number; to: number }
  /** The CID of the root; null for content inside the record. */
  root: string | null
  /** Id of the record, 64 hex digits. */
  version: string
  /** Changes with the content and with nothing else. */
  tag: string
  modified: Date
  /** Media type. */
  type: string | undefined
  /** Permission bits. */
  mode: number | undefined
  /**
   * How many bytes of content came from which member so far. Bytes from this node's disk are under its own peer id. The
   * numbers are complete once iteration has ended.
   */
  readonly from: Array<{ peerId: string; bytes: number }>
}

export interface ListItem {
  path: string
  kind: 'file' | 'directory'
  /** Bytes of content; 0 for a directory, and for a file whose record cannot be read. */
  size: number
  modified: Date
  /** True if it is shown beside another version, or if it is damaged. */
  conflict: boolean
}

/** The facts of a file or directory. A directory has no root, version, tag, type or mode. */
export interface Stat extends ListItem {
  /** The CID of the root; null for a directory, and for content inside the record. */
  root: string | null
  /** Id of the record whose content shows, 64 hex digits; null for a directory. */
  version: string | null
  /** Changes with the content and with nothing else; null for a directory. */
  tag: string | null
  /** Media type; undefined if the file has none, or its record cannot be read. */
  type: string | undefined
  /** Permission bits; undefined as for `type`. */
  mode: number | undefined
  /**
   * `wanted`: copies that the settings ask for, and at most as many as there are members that keep blocks. `confirmed`: the
   * least number of copies that any chunk has, on the members that answered now. For a directory: the members whose log was
   * compared with ours, this one among them.
   */
  replicas: { wanted: number; confirmed: number }
  /** How many records ever wrote content, deleted ones included; 1 for a directory. Older ones cannot be read yet. */
  versions: number
}

export interface RemoveResult {
  path: string
  /** Id of the record that deletes, 64 hex digits. */
  version: string
  /** Peer ids of the members that acknowledged the deletion, this one among them. */
  removedOn: string[]
  /** The members that did not. */
  waitingFor: Array<{ peerId: string; name: string }>
  /** When its space comes back; null if that is not known. */
  freesAt: Date | null
}

/** Chunks on this disk, with the bytes of their sealed blocks. Manifest nodes are never evicted and not counted. */
export interface EvictResult {
  path: string
  /** Chunks that were freed. */
  freed: Amount
  /** Chunks that stay here: the other members' copies were not proven, or something else needs them. */
  left: Amount
}
