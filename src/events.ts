import type { DiskState } from './disk/monitored-files.ts'
import type { RejectionReason, Role } from './members/types.ts'

/** Something that happened inside a node, for a log. */
export type NodeEvent =
  /** A member is connected and has proven itself, or has disconnected. `name` is null if it is no longer a member. */
  | { event: 'admitted' | 'departed'; peerId: string; name: string | null }
  /**
   * A node that answered and this one do not accept each other. `name` is null if our log has no such member. If the
   * reason is `clock-off`, `aheadMs` says how far its clock is ahead of this node's; negative if it is behind.
   */
  | { event: 'rejected'; peerId: string; name: string | null; reason: RejectionReason; aheadMs: number | null }
  /** The clock of a connected member is ahead by more than five minutes, or behind if `aheadMs` is negative. */
  | { event: 'clock'; peerId: string; name: string | null; aheadMs: number }
  | { event: 'fault'; peerId: string }
  /**
   * Nobody answers at an address of `bootstrap`, or while this node is no member yet, at one of the invite. Reported once for
   * each reason; this node goes on trying.
   */
  | { event: 'unreachable'; address: string; reason: string }
  /** A node of another network answered at this address. The words are those of its network. */
  | { event: 'foreign'; peerId: string; words: string | null; address: string | null }
  /**
   * This member and another have exchanged everything, and still do not have the same statements. They compare all
   * statements once more.
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
  /** This node is not a member yet and asks at these addresses to be let in, or looks around if there are none. */
  | { event: 'seeking'; addresses: string[] }
  /** This node waits until a person on an admin's machine approves this code. Reported again if the code changes. */
  | { event: 'pending'; code: string; network: string; words: string; role: Role; expires: Date }
  /**
   * This node is not a member yet, and the peer that answers at this address did not let it in. It goes on trying.
   * `reason` is a word such as `busy`, `denied` or `used-up`; `message` is a sentence for the owner. Reported once for
   * each such answer.
   */
  | { event: 'turned-away'; peerId: string; address: string; reason: string; message: string }
  /** A machine asks this node to be let in. Only the code may be logged, because the name is the stranger's. */
  | { event: 'asking'; code: string; name: string; role: Role }
  /** This node is no longer a member. */
  | { event: 'removed' }
  /** Another node runs with the identity of this peer, which is this node itself if `isSelf`: a data directory was copied. */
  | { event: 'duplicate'; peerId: string; name: string | null; isSelf: boolean }

/** The events of a node, by their names. `detail` is the whole event. */
export type DfsNodeEvents = { [Name in NodeEvent['event']]: CustomEvent<NodeEvent & { event: Name }> }
