/**
 * Workload a: one file to one other node, and back from there. `node scripts/bench/transfer.ts [MiB] [ROUNDS]
 * [--library]`. The first round pays for memory that the machine has not touched yet and code that is not compiled yet;
 * later rounds show the speed of the node.
 */
import { randomBytes } from 'node:crypto'
import { measured, numbers, randomStream, withPair } from './cluster.ts'

const [mebibytes = 1024, rounds = 2] = numbers
const bytes = mebibytes << 20
const random = randomBytes(64 << 20)

await withPair(async (a, b) => {
  for (let round = 1; round <= rounds; round++) {
    if (rounds > 1) console.log(`round ${round}`)
    const path = `/file ${round}`
    const put = await measured([a, b], async () => {
      const { reached } = await a.put(path, randomStream(bytes, random, round), bytes)
      if (reached.length !== 2) throw new Error('the put did not reach the other node')
    })
    report('put to one other', put)
    await a.evict(path)
    const get = await measured([a, b], async () => {
      let length = 0
      for await (const piece of await a.get(path)) length += piece.byteLength
      if (length !== bytes) throw new Error('the file came back short')
    })
    report('get from the other', get)
    const local = await measured([a, b], async () => {
      for await (const _ of await b.get(path));
    })
    report('get from own disk', local)
  }
})

function report(name: string, { s, cpu }: { s: number; cpu: string }): void {
  console.log(`${name}: ${(bytes / 1e6 / s).toFixed(0)} MB/s (${s.toFixed(2)} s), CPU ${cpu} s`)
}
