import type { PeerId } from '../../format/peer-id.ts'
import type { Ranking } from '../rank.ts'

/** The copies that a put waits for by default. */
const ACK_DEFAULT = 2

export interface AckMembers {
  self: PeerId
  ranking: () => Ranking
  /** Members that can be asked now. */
  admitted: () => PeerId[]
  /** True for a member that is better left alone for now. */
  isAvoided: (peer: PeerId) => boolean
}

export interface AckRule {
  /** The number that the caller asked for; `Infinity` for every member, undefined for the default. */
  ack?: number | undefined
  replicas: number
  /** A record without blocks can be acknowledged by any member, not only by those that keep blocks. */
  isRecordOnly: boolean
}

/**
 * How many copies must be durable before a put says yes: as many as the caller asked for, or else two where a second member can
 * be reached.
 */
export function acksWanted(
  { self, ranking, admitted, isAvoided }: AckMembers,
  { ack, replicas, isRecordOnly }: AckRule
): number {
  if (ack !== undefined && Number.isFinite(ack)) return ack
  const order = ranking()
  const owners = order.keepers.filter(peer => peer !== self)
  const mayKeep = admitted().filter(peer => isRecordOnly || owners.includes(peer) || !order.isKnown(peer))
  if (ack !== undefined) return 1 + new Set([...owners, ...mayKeep]).size
  const willKeep = mayKeep.filter(peer => !isAvoided(peer))
  return Math.min(ACK_DEFAULT, 1 + willKeep.length, Math.max(1, replicas))
}
