import type { Readable, Writable } from 'node:stream'
import type { TypedEventTarget } from 'main-event'
import type { DfsNodeEvents } from './events.ts'
import type { FsckOptions, FsckResult, GcOptions, GcResult, SpaceReport, Usage } from './fs/space-types.ts'
import type {
  AbortOptions,
  ClobberOptions,
  CopiesItem,
  CopyResult,
  EvictResult,
  GetOptions,
  ListItem,
  ListOptions,
  OpenFile,
  PutOptions,
  PutResult,
  RemoveOptions,
  RemoveResult,
  Source,
  Stat
} from './fs/types.ts'
import type { RestoreOptions, RestoreResult, VersionItem } from './fs/version-types.ts'
import type { WatchEvent, WatchOptions } from './fs/watch-types.ts'
import type {
  Admitted,
  DeclaredOut,
  InviteItem,
  InviteOptions,
  MadeInvite,
  MemberItem,
  NetworkInfo,
  Peer,
  Role,
  SettingItem,
  SettingValue
} from './members/types.ts'
import type { Status } from './status.ts'

/**
 * The public API of a node. Paths are absolute inside the network, have `/` between their parts, and are compared in
 * Unicode NFC. Sizes are in bytes. Every failure is a `DfsError` with a `code`, except that an abort is an
 * `AbortError`.
 */

export type * from './events.ts'
export type * from './fs/space-types.ts'
export type * from './fs/types.ts'
export type * from './fs/version-types.ts'
export type * from './fs/watch-types.ts'
export type * from './members/types.ts'
export type * from './options.ts'
export type * from './status.ts'
export type { ComponentLogger, Logger } from './util/logger.ts'
export type { WorkerStatus } from './util/worker.ts'

export interface ReadyOptions extends AbortOptions {
  /** The number of other members that must be connected. By default none. */
  members?: number | undefined
}

/** The verbs of a running member of a network. */
export interface DfsVerbs {
  readonly peerId: string
  /** The network's id, 64 hex digits. */
  readonly network: string
  readonly name: string
  readonly role: string
  /** Addresses under which others reach this node, each with `/p2p/` and its peer id. */
  readonly multiaddrs: string[]

  /**
   * Stores a file. Resolves once the file is durable on the requested number of members. If the source ends with an
   * error, nothing becomes visible.
   */
  put(path: string, source: Source, options?: PutOptions): Promise<PutResult>
  /**
   * Opens a file or a range of it. Throws a `DfsError` with the code `not-found`, `is-a-directory`, or `damaged` if the
   * record cannot be used. While the bytes are read, the code `unreachable` means that no connected member delivers a
   * block.
   */
  get(path: string, options?: GetOptions): Promise<OpenFile>
  /** Lists a directory in the order of names (by UTF-8 bytes). For a file, the list contains the file itself. */
  list(path: string, options?: ListOptions): AsyncGenerator<ListItem>
  /**
   * Yields each change at and below a path, by this member or another one, from now on or since a cursor. Throws
   * `aborted` when the node stops. Nothing need be at the path yet. A slow reader takes no memory. Throws `not-allowed` if this member
   * can read no names, and `invalid` for a cursor that no node has made. `WatchEvent` says what is told.
   */
  watch(path: string, options?: WatchOptions): AsyncGenerator<WatchEvent>
  /**
   * Asks the members which copies they hold now of each file at or below a path, and yields the files in the order of a
   * listing.
   */
  copies(path: string, options?: AbortOptions): AsyncGenerator<CopiesItem>
  /**
   * Returns the facts about a file or directory, and asks the members which copies they hold. Throws `not-found` if
   * nothing is there.
   */
  stat(path: string, options?: AbortOptions): Promise<Stat>
  /** Creates a directory and its parents. It is not an error if the directory exists. */
  mkdir(path: string, options?: AbortOptions): Promise<{ path: string }>
  /**
   * Moves a file or directory. If `to` is a directory, the source is moved into it. If `to` is a file, that file is
   * replaced, unless `noClobber` is set.
   */
  move(from: string, to: string, options?: ClobberOptions): Promise<{ from: string; path: string }>
  /**
   * Copies a file or a whole directory. The copy shares the blocks of the original. Blocks that are here are not read
   * again. Blocks that are not here are fetched. Members that owe blocks of the copy but lack them pull them.
   */
  copy(from: string, to: string, options?: ClobberOptions): Promise<CopyResult>
  /**
   * Copies like `copy`, and says how far it has come: for a directory it yields from time to time what has been copied so
   * far. The last item is the result.
   */
  copying(from: string, to: string, options?: ClobberOptions): AsyncGenerator<CopyResult>
  /** Deletes a file, or, with `recursive`, also a directory. Members that are away delete it when they are back. */
  remove(path: string, options?: RemoveOptions & { wait?: boolean | undefined }): Promise<RemoveResult>
  /**
   * Deletes as `remove` does, yields the result, and yields it again each time that more members have acknowledged the
   * deletion. Ends when all members have but those that are out.
   */
  removing(path: string, options?: RemoveOptions): AsyncGenerator<RemoveResult>
  /**
   * Cancels a purge that waits, of a deleted file or of everything below a deleted directory. It stays deleted, and its
   * versions can be restored as if it had only been removed. Throws `invalid` if no purge waits. A purge by an admin
   * never waits, and neither does one of something that is not deleted.
   */
  cancelPurge(path: string, options?: AbortOptions): Promise<RemoveResult>
  /**
   * Yields the versions of a file and its deletes, the latest first: also of a deleted file, and of one that shows as a
   * conflict. Throws `not-found`, or `is-a-directory`.
   */
  versions(path: string, options?: AbortOptions): AsyncGenerator<VersionItem>
  /**
   * Makes an earlier version of a file current, by a new write. A deleted file is brought back as it was before its
   * delete, and a deleted directory with everything that the same recursive removal took, and nothing else. Files whose
   * names are in use again are left alone. Throws `not-found`, `expired` if the content is no longer kept, and `invalid`
   * if there is no other version, or if several have the digits that were given.
   */
  restore(path: string, options?: RestoreOptions): Promise<RestoreResult>
  /**
   * Restores a file or directory like `restore`, and says how far it has come: for a directory it yields from time to
   * time what has been restored so far. The last item is the result.
   */
  restoring(path: string, options?: RestoreOptions): AsyncGenerator<RestoreResult>
  /** Frees this member's copies, once the members that owe them afterwards have proved that they hold them. */
  evict(path: string, options?: AbortOptions): Promise<EvictResult>
  /** Frees now what this node would free in time. With `dryRun`, only says what that is, and why. */
  gc(options?: GcOptions): Promise<GcResult>
  /** Compares the blocks here with the log, and repairs them from other members. With `readData`, reads all of them. */
  fsck(options?: FsckOptions): Promise<FsckResult>
  /** Says how full the members are, and what takes up the space of this one. */
  df(options?: AbortOptions): Promise<SpaceReport>
  /** Says how much a file or directory takes up. */
  du(path: string, options?: AbortOptions): Promise<Usage>
  /** Returns the state of the node. Throws only if the node has been stopped or its disk cannot be read. */
  status(): Promise<Status>
  /** Returns the other members that are known. */
  peers(): Peer[]
  /**
   * Resolves once this node is a member, holds the key of the network, and is connected to as many others as `members`
   * says. A new node gets the key from another member. If the key has not arrived within 10 seconds, this no longer
   * waits for it, and `status` warns until the key is there. A storage member needs no key. Rejects with the reason if
   * this node will never be a member, for example because it was turned away.
   */
  ready(options?: ReadyOptions): Promise<void>
  /** Returns all members, this one included, and the machines that wait to be let in at any admin that is connected. */
  members(options?: AbortOptions): Promise<MemberItem[]>
  /**
   * Lets in the machine that shows this code, here or at another admin that is connected. It becomes a reader by
   * default, or a storage member if it asked for that. Throws `not-found` if no machine waits with this code, and
   * `not-allowed` unless this node is an admin.
   */
  approve(code: string, options?: AbortOptions & { role?: Role | undefined }): Promise<Admitted>
  /** Turns away the machine that shows this code. Throws as `approve` does. */
  deny(code: string, options?: AbortOptions): Promise<Admitted>
  /**
   * Gives a member a higher role; `already` if it has that one. `member` is a peer id, the first or last characters of
   * one, or a name. Throws
   * `not-found` if it fits no member, `invalid` if it fits several, `unsupported` for a lower role, and `not-allowed`
   * unless this node is an admin.
   */
  setRole(member: string, role: Role, options?: AbortOptions): Promise<Admitted>
  /**
   * Declares a member that will not come back out: the others take over its part at once. `member` is as in `setRole`. It
   * counts again with its next status, which it signs when it starts, or at once if it runs. Throws `not-found`,
   * `invalid` if it fits several members or this one, and `not-allowed` unless this node is an admin.
   */
  declareOut(member: string, options?: AbortOptions): Promise<DeclaredOut>
  /** Makes an invite. Throws `not-allowed` unless this node is an admin. */
  invite(options?: AbortOptions & InviteOptions): Promise<MadeInvite>
  /** Returns the invites that this node knows of, the newest first. */
  invites(options?: AbortOptions): Promise<InviteItem[]>
  /** Ends an invite, named by its id, by the start of its id, or by its token. Members that it let in stay. */
  revokeInvite(invite: string, options?: AbortOptions): Promise<{ id: string }>
  networkInfo(options?: AbortOptions): Promise<NetworkInfo>
  /** Returns the settings of the network, which hold for all members. */
  settings(options?: AbortOptions): Promise<SettingItem[]>
  /**
   * Changes a setting of the network. `default` takes it back, so that its default counts again. Throws `invalid` for a key that does not exist and for a value out of bounds, and
   * `not-allowed` unless this node is an admin.
   */
  setSetting(key: string, value: SettingValue, options?: AbortOptions): Promise<SettingItem>
  /** Removes the network key from the keystore of this node. `forgotten` is false if it did not hold the key. */
  forgetNetworkKey(options?: AbortOptions): Promise<{ forgotten: boolean }>
  /** Stops the node. Everything that was acknowledged remains durable. A second call has no effect. */
  stop(): Promise<void>
}

/**
 * A running member of a network. It is an `EventTarget`: `addEventListener('admitted', ({ detail }) => …)` reports what
 * happens inside it. `onEvent` of the options also gets the events of the start itself.
 */
export interface DfsNode extends DfsVerbs, TypedEventTarget<DfsNodeEvents> {
  /** Returns true if a file or directory is at the path. Asks no other member. */
  exists(path: string, options?: AbortOptions): Promise<boolean>
  /** Opens a file or a range of it as a stream, which ends with the errors of `get`. */
  createReadStream(path: string, options?: GetOptions): Readable
  /**
   * Stores what is written. `finish` is emitted once the file is stored as `put` promises. A stream that is destroyed
   * before its end stores nothing. It ends with the errors of `put`.
   */
  createWriteStream(path: string, options?: PutOptions): Writable
  /** Stops the node, for `await using node = await createNode(…)`. */
  [Symbol.asyncDispose](): Promise<void>
}
