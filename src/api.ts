import type { Blockstore } from 'interface-blockstore'
import type { DiskState } from './disk/monitored-files.ts'
import type { NodeCodec } from './format/manifest.ts'
import type {
  AbortOptions,
  Amount,
  Copies,
  EvictResult,
  GetOptions,
  ListItem,
  OpenFile,
  PutOptions,
  PutResult,
  RemoveResult,
  Source,
  Stat
} from './fs/types.ts'
import type { Chance } from './util/chance.ts'
import type { Clock } from './util/clock.ts'
import type { ComponentLogger } from './util/logger.ts'
import type { WorkerStatus } from './util/worker.ts'
import type { Transports } from './wire/libp2p-host.ts'

/**
 * What a program sees of a node. Paths are absolute inside the network, `/` between parts, compared in Unicode NFC.
 * Sizes are bytes. Every failure is a `DfsError` with a `code`; an abort is an `AbortError`.
 */

export type * from './fs/types.ts'
export type { ComponentLogger, Logger } from './util/logger.ts'
export type { WorkerStatus } from './util/worker.ts'

export interface NodeOptions {
  /** Where blocks, log and keys live. Made if missing, readable by its owner alone. */
  dataDir: string
  /** Multiaddrs to listen on. Left out: TCP and WebSockets on ports 3000 and 3001, or free ones if those are taken. */
  listen?: readonly string[] | undefined
  /** Multiaddrs under which others reach this node, where those are not what it listens on. */
  announce?: readonly string[] | undefined
  /** Multiaddrs of other nodes to stay connected to, with or without `/p2p/`. */
  bootstrap?: readonly string[] | undefined
  /** Find members on the local network, and be found. On unless told otherwise. */
  mdns?: boolean | undefined
  /** Found a network, if this directory belongs to none yet. */
  found?: boolean | undefined
  /** The 32-byte network key: makes this node an admin of its network, if this directory belongs to none yet. */
  networkKey?: Uint8Array | undefined
  /** Seals the keystore. */
  passphrase?: string | undefined
  /** What other members see this device called, up to 64 bytes; the host name unless given. */
  name?: string | undefined
  /** Bytes that this node may hold; all of the disk but 5 % unless given. */
  capacityBytes?: number | undefined
  /** Copies of what this node puts; 3 unless given. */
  replicas?: Copies | undefined
  /** Copies that must be durable before a put says yes; 2 where a second member can be reached, unless given. */
  ack?: Copies | undefined
  /** A member that lags behind the others by this much is out; 10 minutes unless given. */
  outAfterMs?: number | undefined
  /** Told of what goes on inside, without names, paths or secrets. */
  onEvent?: ((event: NodeEvent) => void) | undefined

  /**
   * Where components log, by scopes such as `dfs:blocks:put`. Left out: to stderr, what the variable `DEBUG` names, as with
   * libp2p, such as `DEBUG=dfs:*`. No path, name, key or content is ever logged.
   */
  logger?: ComponentLogger | undefined

  /** libp2p transports instead of TCP and WebSockets. */
  transports?: Transports | undefined
  /** Any adapter of `interface-blockstore` instead of the durable store in `dataDir`. */
  blockstore?: Blockstore | undefined
  /** Codec of manifest nodes instead of dag-cbor; the same on every node of a network. */
  codec?: NodeCodec | undefined
  clock?: Clock | undefined
  chance?: Chance | undefined
}

/** What happens inside a node, for a log. */
export type NodeEvent =
  | { event: 'admitted' | 'departed' | 'foreign' | 'rejected' | 'fault'; peerId: string }
  | { event: 'rebuilt'; rows: number }
  | { event: 'damaged'; rows: number }
  /** A block of this disk is damaged, or cannot be read; of each once. */
  | { event: 'bad-block'; isDamaged: boolean }
  /** Whether anything can be stored has changed. */
  | { event: 'disk'; state: DiskState }
  | { event: 'failed'; code: string; task: string }

export interface Status {
  peerId: string
  network: string
  name: string
  role: string
  state: 'in' | 'draining' | 'full' | 'out'
  files: number
  peersConnected: number
  owed: Amount
  repairing: Amount
  etaSeconds: number | null
  atRisk: { blocks: number }
  disk: { used: number; capacity: number; cache: number; state: DiskState }
  /** What runs in the background, and how its last round ended. */
  workers: WorkerStatus[]
  warnings: string[]
}

export interface Peer {
  peerId: string
  name: string
  role: string
  connected: boolean
  latencyMs: number | null
  /** Transport and security layer, such as `tcp+tls`; null while not connected. */
  via: string | null
}

/** A running member of a network. */
export interface DfsNode {
  readonly peerId: string
  /** The network's id, 64 hex digits. */
  readonly network: string
  readonly name: string
  readonly role: string
  /** Addresses under which others reach this node, each with `/p2p/` and its peer id. */
  readonly multiaddrs: string[]

  /** Stores a file; resolves when it is durable on as many members as asked. What is cut off leaves nothing visible. */
  put(path: string, source: Source, options?: PutOptions): Promise<PutResult>
  get(path: string, options?: GetOptions): Promise<OpenFile>
  /** What is in a directory, in the order of names (by UTF-8 bytes); a file lists itself. */
  list(path: string, options?: AbortOptions & { recursive?: boolean | undefined }): AsyncGenerator<ListItem>
  stat(path: string, options?: AbortOptions): Promise<Stat>
  /** Makes a directory and those above it; an existing one is fine. */
  mkdir(path: string, options?: AbortOptions): Promise<{ path: string }>
  /** Onto an existing directory it moves into it; onto a file it replaces it, unless `noClobber`. */
  move(
    from: string,
    to: string,
    options?: AbortOptions & { noClobber?: boolean | undefined }
  ): Promise<{ from: string; path: string }>
  /** Copies a file or a whole directory without moving a byte. */
  copy(
    from: string,
    to: string,
    options?: AbortOptions & { noClobber?: boolean | undefined }
  ): Promise<{ from: string; path: string }>
  /** Deletes a file; a directory only with `recursive`. `ifTag` as with put. */
  remove(
    path: string,
    options?: AbortOptions & { recursive?: boolean | undefined; ifTag?: string | undefined }
  ): Promise<RemoveResult>
  /** Gives this member's copies away, once the members that then owe them proved that they hold them. */
  evict(path: string, options?: AbortOptions): Promise<EvictResult>
  status(): Promise<Status>
  /** The other members known. */
  peers(): Peer[]
  /** Ends everything; what was acknowledged is durable. May be called twice. */
  stop(): Promise<void>
}
