import type { Blocks } from '../blocks/blocks.ts'
import type { Author } from '../catalog/author.ts'
import type { Catalog } from '../catalog/catalog.ts'
import type { ChangeFeed } from '../catalog/feed/change-feed.ts'
import type { Past } from '../catalog/past/past.ts'
import type { Tree } from '../catalog/tree.ts'
import type { ChunkerName } from '../format/constants.ts'
import type { NodeCodec } from '../format/manifest.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { Sync } from '../log/sync.ts'
import type { Members } from '../members/members.ts'
import type { Clock } from '../util/clock.ts'
import { InvalidInputError } from '../util/errors.ts'
import type { ComponentLogger } from '../util/logger.ts'
import { COPIES_MAX } from './constants.ts'
import type { SmallFile } from './small-file.ts'
import type { AwaitedMember, Copies, PutOptions, PutResult } from './types.ts'

/** The rooms that the verbs use. */
export interface FsContext {
  catalog: Catalog
  tree: Tree
  feed: ChangeFeed
  past: Past
  author: Author
  blocks: Blocks
  members: Members
  sync: Sync
  /** Puts a small file, together with others that are put at about the same time: see `SmallFiles`. */
  putSmall: (file: SmallFile, options: ResolvedPutOptions) => Promise<PutResult>
  codec: NodeCodec
  clock: Clock
  logger: ComponentLogger
  /**
   * For files that this node puts: the number of copies, how many of them must be durable, and how the files are cut.
   * `Infinity` means every member; undefined means the default.
   */
  defaults: { replicas: number; ack: number | undefined; chunker: ChunkerName }
  /** Returns the entry that a record is about; undefined if the record is not here or is damaged. */
  entryOf: (record: Uint8Array) => Promise<Uint8Array | undefined>
  /** The bytes that this node uses, may use, and can still take. */
  disk: () => { used: number; capacity: number; free: number }
  /** Returns when a member that is not connected was last seen; null if it never was. */
  lastSeen: (peer: PeerId) => Date | null
}

/**
 * Returns the names of members that are waited for, and since when. This member is left out: it has nobody to wait for
 * but the others.
 */
export function awaited(
  { members, lastSeen }: Pick<FsContext, 'members' | 'lastSeen'>,
  peers: readonly PeerId[]
): AwaitedMember[] {
  const connected = new Set(members.admitted)
  return peers
    .filter(peer => peer !== members.self.peerId)
    .map(peer => ({
      peerId: peer,
      name: members.member(peer)?.name ?? peer,
      since: connected.has(peer) ? null : lastSeen(peer)
    }))
}

/** Returns the members that are out. */
export function outMembers({ view }: Pick<FsContext['members'], 'view'>): Set<PeerId> {
  return new Set(view.members.filter(({ isOut }) => isOut).map(({ peer }) => peer))
}

/**
 * Converts the number of copies that a caller asked for to the form that the blocks room uses. Throws an
 * `InvalidInputError`.
 */
export function copiesOf(copies: Copies | undefined): number | undefined {
  if (copies === undefined) return undefined
  if (copies === 'all') return Number.POSITIVE_INFINITY
  if (!Number.isInteger(copies) || copies < 1 || copies > COPIES_MAX)
    throw new InvalidInputError(`the number of copies must be "all" or from 1 to ${COPIES_MAX}`)
  return copies
}

/**
 * The options of a put, with this node's defaults filled in and the numbers of copies in the form that the blocks room
 * uses.
 */
export interface ResolvedPutOptions extends PutOptions {
  copies: number
  acks: number | undefined
}

export function resolvePutOptions({ defaults }: Pick<FsContext, 'defaults'>, options: PutOptions): ResolvedPutOptions {
  const copies = copiesOf(options.replicas) ?? defaults.replicas
  return { ...options, copies, acks: copiesOf(options.ack) ?? defaults.ack }
}
