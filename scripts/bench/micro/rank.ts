import { createHash, randomBytes } from 'node:crypto'
import { Ranking } from '../../../src/blocks/rank.ts'
import { peerIdOf } from '../../../src/format/peer-id.ts'
import { makeView } from '../../../src/members/view.ts'
import { leastMicros, type Micro } from './micro.ts'

const SIZES = [3, 10, 30, 100, 300, 1_000]
const COPIES = 3

/** Finding the members that owe a block. */
export const rank: Micro = {
  title: 'Finding the three members that owe a block',
  x: 'members',
  y: 'µs',
  async measure({ say }) {
    const series = []
    for (const zones of [0, 5]) {
      const points: Array<[number, number]> = []
      for (const size of SIZES) {
        const ranking = new Ranking(viewOf(size, zones))
        let digest = randomBytes(32)
        const micros = await leastMicros(() => {
          digest = createHash('sha256').update(digest).digest()
          ranking.owners(digest, COPIES)
        })
        points.push([size, micros])
      }
      const name = zones === 0 ? 'without zones' : `${zones} zones`
      say(`${name}: ${points.map(([size, micros]) => `${size} members ${micros.toFixed(1)} µs`).join(', ')}`)
      series.push({ name, points })
    }
    return series
  }
}

function viewOf(size: number, zones: number): ReturnType<typeof makeView> {
  const rest = { hlc: 1n, role: 'writer', state: 'in', outAfterMs: 1 } as const
  const statuses = Array.from({ length: size }, (_, i) => {
    const key = randomBytes(32)
    const zone = zones === 0 ? null : `zone ${i % zones}`
    return { peer: peerIdOf(key), key, weight: 10 ** 9 * (1 + (i % 4)), zone, ...rest }
  })
  return makeView(statuses, new Set())
}
