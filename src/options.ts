import type { Blockstore } from 'interface-blockstore'
import type { NodeEvent } from './events.ts'
import type { ChunkerName } from './format/constants.ts'
import type { NodeCodec } from './format/manifest.ts'
import type { Copies } from './fs/types.ts'
import type { FoundNetwork, Role } from './members/types.ts'
import type { Chance } from './util/chance.ts'
import type { Clock } from './util/clock.ts'
import type { ComponentLogger } from './util/logger.ts'
import type { Transports } from './wire/libp2p-host.ts'

/** What a program may choose when it creates a node. */
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
   * How this node cuts the files that it puts. With `fastcdc` a file that grows in its middle is not sent again as a
   * whole, but the lengths of its blocks say something about its content. By default as the settings of the network say:
   * `fixed`.
   */
  chunker?: ChunkerName | undefined
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
