/** The options and results of the verbs. Paths are text from the root; sizes are bytes; times are dates. */

/** Copies of a file: a number of members, or every one of them. */
export type Copies = number | 'all'

export interface AbortOptions {
  /** Ends the verb with the signal's reason. Records that have been appended by then stay. */
  signal?: AbortSignal | undefined
}

/** Bytes to store, in whatever form a program has them. */
export type Source = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>

export interface PutOptions extends AbortOptions {
  /** Left out: this node's default. */
  replicas?: Copies | undefined
  /**
   * Copies that must be durable before the put says yes. If an explicit number is not met within 60 s, the put fails with
   * a `NotEnoughCopiesError` (code `unreachable`). The file is stored all the same, and its copies are made later.
   */
  ack?: Copies | undefined
  /** Left out: now. */
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
  path: string
  size: number
  /** The CID of the root; null for files up to 1 KiB, which travel inside their record. */
  root: string | null
  /** Id of the record, 64 hex digits. */
  version: string
  /** Changes with the content and with nothing else. */
  tag: string
  /** Members, this one among them, that acknowledged the record and hold the blocks that are counted on them. */
  reached: string[]
  /** Copies that the settings and the members present ask for. */
  wanted: number
  /** Copies of blocks that members still owe. */
  owed: Amount
}

export interface Amount {
  blocks: number
  bytes: number
}

export interface Range {
  /** First byte. */
  from: number
  /** Last byte, inclusive; left out: the last of the file. */
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
  root: string | null
  version: string
  tag: string
  modified: Date
  type: string | undefined
  mode: number | undefined
  /**
   * How many bytes came from which member so far; those of this node's disk are under its own peer id. Complete once
   * iteration has ended.
   */
  readonly from: Array<{ peerId: string; bytes: number }>
}

export interface ListItem {
  path: string
  kind: 'file' | 'directory'
  size: number
  modified: Date
  /** True if it is shown beside another version, or something is wrong with it. */
  conflict: boolean
}

export interface Stat extends ListItem {
  root: string | null
  version: string | null
  tag: string | null
  type: string | undefined
  mode: number | undefined
  /**
   * `wanted`: copies that the settings and the members present ask for. `confirmed`: copies of the block that has the
   * fewest, on members that were asked now. For a directory, the members whose statements were compared with ours.
   */
  replicas: { wanted: number; confirmed: number }
  versions: number
}

export interface RemoveResult {
  path: string
  version: string
  /** Members that acknowledged, this one among them. */
  removedOn: string[]
  /** Members that did not. */
  waitingFor: Array<{ peerId: string; name: string }>
  /** When its space comes back; null if that is not known. */
  freesAt: Date | null
}

export interface EvictResult {
  path: string
  freed: Amount
  left: Amount
}
