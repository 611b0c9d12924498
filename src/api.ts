import type { Readable, Writable } from 'node:stream'
import type { Blockstore } from 'interface-blockstore'
import type { TypedEventTarget } from 'main-event'
import type { DfsNodeEvents, NodeEvent } from './events.ts'
import type { NodeCodec } from './format/manifest.ts'
import type {
  AbortOptions,
  Copies,
  CopiesItem,
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
import type {
  Admitted,
  DeclaredOut,
  FoundNetwork,
  InviteItem,
  InviteOptions,
  MadeInvite,
  MemberItem,
  NetworkInfo,
  Peer,
  Role,
  SettingItem
} from './members/types.ts'
import type { Status } from './status.ts'
import type { Chance } from './util/chance.ts'
import type { Clock } from './util/clock.ts'
import type { ComponentLogger } from './util/logger.ts'
import type { Transports } from './wire/libp2p-host.ts'

/**
 * The public API of a node. Paths are absolute inside the network, have `/` between their parts, and are compared in
 * Unicode NFC. Sizes are in bytes. Every failure is a `DfsError` with a `code`, except that an abort is an
 * `AbortError`.
 */

export type * from './events.ts'
export type * from './fs/types.ts'
export type * from './fs/version-types.ts'
export type * from './members/types.ts'
export type * from './status.ts'
export type { ComponentLogger, Logger } from './util/logger.ts'
export type { WorkerStatus } from './util/worker.ts'

export interface NodeOptions {
  /**
   * The directory for blocks, log and keys. It is created if it does not exist, and only its owner can read it. An
   * existing directory must be empty, or a data directory already. Any other directory is refused and not changed.
   */
  dataDir: string
  /**
   * Names of files that the owner has put into a new data directory, such as one with a passphrase. A directory with
   * any other file in it is refused. A name that the node itself uses there, such as `lock`, is refused too.
   */
  ownersFiles?: readonly string[] | undefined
  /**
   * Called at a first start, once the node runs. `createNode` waits for it. If it rejects before a member has been
   * reached, the first start is undone: the node stops, and everything that it has written is removed.
   */
  confirmFirstStart?: (() => Promise<void>) | undefined
  /**
   * Multiaddrs to listen on. By default, TCP on port 3000 and WebSockets on port 3001, or free ports if those are
   * taken. A node that has run before uses its former ports.
   */
  listen?: readonly string[] | undefined
  /** Multiaddrs under which others reach this node, if they differ from the addresses on which it listens. */
  announce?: readonly string[] | undefined
  /** Addresses of other nodes to stay connected to: `host:port` for TCP, or multiaddrs, with or without `/p2p/`. */
  bootstrap?: readonly string[] | undefined
  /** Whether to find members on the local network, and to be found by them. On by default. */
  mdns?: boolean | undefined
  /** Whether to found a network if this directory belongs to none yet. */
  found?: boolean | undefined
  /** The 32-byte network key. It makes this node an admin of that network, if this directory belongs to none yet. */
  networkKey?: Uint8Array | undefined
  /** The token of an invite. It makes this node a member, if this directory belongs to no network yet. */
  join?: string | undefined
  /** The role that this node asks for, if a person has to let it in. By default writer. */
  role?: Exclude<Role, 'admin'> | undefined
  /**
   * Called at a first start with neither a key, an invite, `found` nor an address to join at, with the networks that
   * answer nearby. It decides which one this node asks to join, or that it founds its own. Without it, such a start is
   * refused with code `invalid`. If a `bootstrap` address has no `/p2p/` and this node has neither a key nor an invite,
   * it is called with the network that answers there; `found` then means that it is the wrong one. Without it, that
   * network is believed to be the right one.
   */
  choose?: ((found: readonly FoundNetwork[]) => Promise<FoundNetwork | 'found'>) | undefined
  /** Seals the keystore. A keystore that was created without a passphrase does not open with one. */
  passphrase?: string | undefined
  /** The name under which other members see this device, up to 64 bytes. By default, the host name. */
  name?: string | undefined
  /**
   * The number of bytes that this node may hold: blocks, statements, claims and the index, at most 95 % of the disk. By
   * default what is free at the first start, less 5 % of the disk.
   */
  capacityBytes?: number | undefined
  /** The number of copies to keep of each file that this node puts. By default as the settings of the network say: 3. */
  replicas?: Copies | undefined
  /**
   * The number of copies that must be durable before a put resolves. By default as the settings of the network say: 2
   * if a second member can be reached, and 1 otherwise.
   */
  ack?: Copies | undefined
  /**
   * How long this member may lag behind the others before it is out. The node that founds a network sets it for all
   * members; any other node can only ask for more than the network's. By default 10 minutes; 1 second to 30 days.
   */
  outAfterMs?: number | undefined
  /**
   * Called with events inside the node. They contain no paths or secrets. Some contain the name of a member, and
   * `asking` contains a name that a stranger chose.
   */
  onEvent?: ((event: NodeEvent) => void) | undefined

  /**
   * Where components log, under scopes such as `dfs:blocks:put`. By default, the scopes that the environment variable
   * `DEBUG` names, such as `DEBUG=dfs:*`, are written to stderr, as in libp2p. No path, name, key or content is ever
   * logged.
   */
  logger?: ComponentLogger | undefined

  /** libp2p transports to use instead of TCP and WebSockets. */
  transports?: Transports | undefined
  /** Any adapter of `interface-blockstore`, to use instead of the durable store in `dataDir`. */
  blockstore?: Blockstore | undefined
  /** The codec of manifest nodes, to use instead of dag-cbor. It must be the same on every node of a network. */
  codec?: NodeCodec | undefined
  clock?: Clock | undefined
  chance?: Chance | undefined
}

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
  move(
    from: string,
    to: string,
    options?: AbortOptions & { noClobber?: boolean | undefined }
  ): Promise<{ from: string; path: string }>
  /**
   * Copies a file or a whole directory. The copy shares the blocks of the original. Blocks that are here are not read
   * again. Blocks that are not here are fetched. Members that owe blocks of the copy but lack them pull them.
   */
  copy(
    from: string,
    to: string,
    options?: AbortOptions & { noClobber?: boolean | undefined }
  ): Promise<{ from: string; path: string }>
  /** Deletes a file, or, with `recursive`, also a directory. Members that are away delete it when they are back. */
  remove(path: string, options?: RemoveOptions & { wait?: boolean | undefined }): Promise<RemoveResult>
  /**
   * Deletes as `remove` does, yields the result, and yields it again each time that more members have acknowledged the
   * deletion. Ends when all members have but those that are out.
   */
  removing(path: string, options?: RemoveOptions): AsyncGenerator<RemoveResult>
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
  /** Frees this member's copies, once the members that owe them afterwards have proved that they hold them. */
  evict(path: string, options?: AbortOptions): Promise<EvictResult>
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
   * Changes a setting of the network. Throws `invalid` for a key that does not exist and for a value out of bounds, and
   * `not-allowed` unless this node is an admin.
   */
  setSetting(key: string, value: number | 'all', options?: AbortOptions): Promise<SettingItem>
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
