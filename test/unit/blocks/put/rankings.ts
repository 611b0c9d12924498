import type { Ranking } from '../../../../src/blocks/rank.ts'

/** A ranking in which every block has the same order, that of this list. */
export function rankingOf(...peers: string[]): Ranking {
  return {
    keepers: peers,
    isKeeper: (peer: string) => peers.includes(peer),
    keeperCount: peers.length,
    isKnown: (peer: string) => peers.includes(peer),
    inOrder: () => peers.map(peer => ({ peer }))
  } as unknown as Ranking
}
