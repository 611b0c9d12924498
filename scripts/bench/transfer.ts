/**
 * Workload a: one file to one other node, and back from there. `node scripts/bench/transfer.ts [MiB] [ROUNDS]`. The first
 * round pays for memory that the machine has not touched yet and code that is not compiled yet; the next shows the node.
 */
import { randomBytes } from 'node:crypto'
import { measured, printMemory, randomStream, withCluster } from './cluster.ts'

const bytes = Number(process.argv[2] ?? 1024) << 20
const rounds = Number(process.argv[3] ?? 2)
const random = randomBytes(64 << 20)

await withCluster(2, async daemons => {
  const [a, b] = daemons as [(typeof daemons)[0], (typeof daemons)[0]]
  const never = new AbortController().signal
  for (let round = 1; round <= rounds; round++) {
    if (rounds > 1) console.log(`round ${round}`)
    const put = await measured(daemons, async () => {
      const result = await a.client.put(`/file ${round}`, randomStream(bytes, random, round), { size: bytes }, never)
      if (result.reached.length !== 2) throw new Error('the put did not reach the other node')
    })
    report('put to one other', put)
    await a.client.evict(`/file ${round}`, never)
    const get = await measured(daemons, async () => {
      let length = 0
      for await (const piece of (await a.client.get(`/file ${round}`, undefined, never)).body)
        length += piece.byteLength
      if (length !== bytes) throw new Error('the file came back short')
    })
    report('get from the other', get)
    const local = await measured(daemons, async () => {
      for await (const _ of (await b.client.get(`/file ${round}`, undefined, never)).body);
    })
    report('get from own disk', local)
  }
  await printMemory(daemons)
})

function report(name: string, { s, cpu }: { s: number; cpu: number[] }): void {
  const rate = bytes / 1e6 / s
  const seconds = cpu.map(value => value.toFixed(2)).join(' + ')
  console.log(`${name}: ${rate.toFixed(0)} MB/s (${s.toFixed(2)} s), CPU ${seconds} s`)
}
