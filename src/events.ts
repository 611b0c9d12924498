import type { DiskState } from './disk/monitored-files.ts'
import type { Role } from './members/types.ts'

/** Something that happened inside a node, for a log. */
export type NodeEvent =
  | { event: 'admitted' | 'departed' | 'fault'; peerId: string }
  /**
   * A peer refused this node, or this node refused it. `reason` is a word such as `clock-off`, `expired`, `forbidden` or
   * `duplicate`.
   */
  | { event: 'rejected'; peerId: string; reason: string }
  /** A node of another network answered at this address. The words are those of its network. */
  | { event: 'foreign'; peerId: string; words: string | null; address: string | null }
  /**
   * This member and another have told each other everything, and still do not have the same statements. All statements
   * are compared once more.
   */
  | { event: 'differs'; peerId: string }
  /** The index was rebuilt from this many rows of the segments. */
  | { event: 'rebuilt'; rows: number }
  /** This many stretches of the segments are damaged. */
  | { event: 'damaged'; rows: number }
  /** A block on this disk is damaged, or cannot be read. Reported once per block. */
  | { event: 'bad-block'; isDamaged: boolean }
  /** The state of the disk has changed: it is `ok`, or the reason why this node cannot store data. */
  | { event: 'disk'; state: DiskState }
  /** A background task failed. It will be repeated. */
  | { event: 'failed'; code: string; task: string }
  /** This node waits until a person on an admin's machine approves this code. Reported again if the code changes. */
  | { event: 'pending'; code: string; network: string; words: string; role: Role; expires: Date }
  /** A machine asks this node to be let in. Only the code may be logged, because the name is the stranger's. */
  | { event: 'asking'; code: string; name: string; role: Role }
  /** This node is no member any more. */
  | { event: 'removed' }
  /** Another node runs with the identity of this peer, which may be this node itself: its data directory was copied. */
  | { event: 'duplicate'; peerId: string }

/** The events of a node, by their names. `detail` is the whole event. */
export type DfsNodeEvents = { [Name in NodeEvent['event']]: CustomEvent<NodeEvent & { event: Name }> }
