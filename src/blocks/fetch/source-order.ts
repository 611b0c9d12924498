import type { PeerId } from '../../format/peer-id.ts'
import type { PeerHealth } from './peer-health.ts'

export interface SourceOrderOptions {
  /** The members in the order of the ranking: those that owe blocks, then the others. */
  ranked: readonly PeerId[]
  /** How many of the first in rank should have the block; `Infinity` for all of them. */
  replicas: number
  /** Who wrote the record that needs the block. */
  author: PeerId | undefined
  /** The members that may be asked now. */
  reachable: ReadonlySet<PeerId>
  health: Pick<PeerHealth, 'isAvoided' | 'costMs'>
}

/**
 * The number of likely owners that are sorted by speed. Sorting more would only cost time, because the fastest few are
 * enough.
 */
const SORTED_MAX = 16

/**
 * Returns the members to ask for a block, in order: those that should have it, the fastest first, then the author of
 * the record, then everybody else in the order of the ranking, including members that are out or draining. Members that
 * are avoided come last.
 */
export function orderSources(options: SourceOrderOptions): PeerId[] {
  const { ranked, replicas, author, reachable, health } = options
  const owners = ranked.slice(0, Math.min(replicas, ranked.length)).filter(peer => reachable.has(peer))
  const likely = owners.slice(0, SORTED_MAX).sort((a, b) => health.costMs(a) - health.costMs(b))
  const ordered = new Set([...likely, ...owners.slice(SORTED_MAX)])
  if (author !== undefined && reachable.has(author)) ordered.add(author)
  for (const peer of ranked) if (reachable.has(peer)) ordered.add(peer)
  // A member that has just joined is not in the view yet.
  for (const peer of reachable) ordered.add(peer)
  const all = [...ordered]
  return [...all.filter(peer => !health.isAvoided(peer)), ...all.filter(peer => health.isAvoided(peer))]
}
