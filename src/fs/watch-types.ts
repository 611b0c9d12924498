import type { AbortOptions } from './types.ts'

/** The options and events of a watch. */

export interface WatchOptions extends AbortOptions {
  /** Whether to tell of everything below too. By default only of the path itself and of what is directly in it. */
  recursive?: boolean | undefined
  /** The `cursor` of an earlier event. Everything that has changed since is told first. By default, from now on. */
  since?: string | undefined
  /** Whether to tell first what is there, as after a `reset`. It has no effect together with `since`. */
  list?: boolean | undefined
}

/** What happened: see `WatchEvent`. */
export type WatchChange = 'created' | 'changed' | 'moved' | 'removed' | 'conflict' | 'reset' | 'current'

/**
 * A change of what a listing shows at a path. A program that applies all events in order to a map of paths has what the
 * listing shows. The first event comes at once. The last of several changes may be told for all of them.
 *
 * - `created`, `changed`: this is at the path now. If it is a directory, an event for each entry below it follows.
 * - `moved`: this was at `from` and is at the path now, with everything below it. An entry that is moved into the
 *   watched path is `created`, and one that is moved out of it is `removed`.
 * - `removed`: nothing is at the path any more, nor below it.
 * - `conflict`: another version, or a damaged file, shows under this name beside the others.
 * - `reset`: forget everything at and below this path. Events for what is there now follow. The cursor is not from this node,
 *   or is too old, or the other kinds of events cannot describe the change.
 * - `current`: everything up to the cursor has been told. It is also told now and then when nothing else is, so that a
 *   program has a newer cursor.
 */
export interface WatchEvent {
  change: WatchChange
  path: string
  /** The former path of what has moved. */
  from?: string | undefined
  /** Null for `reset` and `current`. */
  kind: 'file' | 'directory' | null
  /** The number of bytes of content, as in a listing; 0 for what was removed. */
  size: number
  /** As in a listing; null for what was removed. */
  modified: Date | null
  /**
   * The id of the record whose content shows now, as 64 hex digits. If a file has changed twice, the first event may
   * name the second version already. For a file that was removed, the record that did it. Null for a directory.
   */
  version: string | null
  /** Who made the change; null if no single record did, such as for a directory that shows again. */
  author: { peerId: string; name: string } | null
  /**
   * Give it as `since` to go on after this event. Some of the events before it may then be told again. Keep it together
   * with what you have made of the event, since a move that is applied twice ends wrong. It belongs to this node: any
   * other node answers it with a `reset`.
   */
  cursor: string
}
