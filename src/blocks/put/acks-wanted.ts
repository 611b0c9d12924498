import type { PeerId } from '../../format/peer-id.ts'
import type { Ranking } from '../rank.ts'

/** The number of copies that a put waits for by default. */
const ACK_DEFAULT = 2

export interface AckMembers {
  self: PeerId
  ranking: () => Ranking
  /** Returns the members that can be asked now. */
  admitted: () => PeerId[]
  /** Returns true for a member that is best avoided for now, because it failed or misbehaved. */
  isAvoided: (peer: PeerId) => boolean
}

export interface AckRule {
  /** The number that the caller asked for; `Infinity` for every member, undefined for the default. */
  ack?: number | undefined
  replicas: number
  /** True for a record without blocks, which any member can acknowledge, not only those that store blocks. */
  isRecordOnly: boolean
}

/**
 * Returns the number of copies that must be durable before a put succeeds: as many as the caller asked for, or else two
 * if a second member can be reached.
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
