/** What the verbs take and give. Paths are text from the root; sizes are bytes; times are dates. */

/** Copies of a file: a number of members, or every one of them. */
export type Copies = number | 'all'

export interface AbortOptions {
  signal?: AbortSignal | undefined
}

export type Source = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>

export interface PutOptions extends AbortOptions {
  replicas?: Copies | undefined
  /** An explicit number that is not met within 60 s is a `NotEnoughCopiesError`; the file stands all the same. */
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
  /** Members that hold all of it and said so; this one among them. */
  reached: string[]
  /** Copies that the settings and the members present ask for. */
  wanted: number
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

/** An open file: its facts at once, its bytes when they are iterated. Each byte has been verified before it is given. */
export interface OpenFile extends AsyncIterable<Uint8Array> {
  path: string
  /** Of the whole file. */
  size: number
  /** What will be delivered: `from` inclusive, `to` exclusive. */
  range: { from: number; to: number }
  root: string | null
  version: string
  tag: string
  modified: Date
  type: string | undefined
  mode: number | undefined
  /** Who delivered how much so far, this node's disk under its own peer id. Complete once iteration has ended. */
  readonly from: Array<{ peerId: string; bytes: number }>
}

export interface ListItem {
  path: string
  kind: 'file' | 'directory'
  size: number
  modified: Date
  /** Shown beside another version, or because something is wrong with it. */
  conflict: boolean
}

export interface Stat extends ListItem {
  root: string | null
  version: string | null
  tag: string | null
  type: string | undefined
  mode: number | undefined
  /** `wanted` copies by the settings and members present; `confirmed`: the least over its blocks, asked live. */
  replicas: { wanted: number; confirmed: number }
  versions: number
}

export interface RemoveResult {
  path: string
  version: string
  /** Members that acknowledged; this one among them. */
  removedOn: string[]
  waitingFor: Array<{ peerId: string; name: string }>
  /** When its space comes back; null where that is not known. */
  freesAt: Date | null
}

export interface EvictResult {
  path: string
  freed: Amount
  left: Amount
}
