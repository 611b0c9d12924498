/** Workload c: a thousand files of 4 KiB, acknowledged by one other node. `node scripts/bench/small-files.ts [COUNT]` */
import { randomBytes } from 'node:crypto'
import { measured, printMemory, withCluster } from './cluster.ts'

const count = Number(process.argv[2] ?? 1000)
const AT_ONCE = 64

await withCluster(2, async daemons => {
  const [a, b] = daemons as [(typeof daemons)[0], (typeof daemons)[0]]
  const never = new AbortController().signal
  const files = Array.from({ length: count }, () => randomBytes(4096))
  const put = await measured(daemons, () =>
    inParallel(count, async i => {
      const { reached } = await a.client.put(`/small/file ${i}`, once(files[i] as Buffer), {}, never)
      if (reached.length !== 2) throw new Error('a put did not reach the other node')
    })
  )
  report('put', put)
  const get = await measured(daemons, () =>
    inParallel(count, async i => {
      const parts: Buffer[] = []
      for await (const part of (await b.client.get(`/small/file ${i}`, undefined, never)).body) parts.push(part)
      if (!Buffer.concat(parts).equals(files[i] as Buffer)) throw new Error('a file came back with other bytes')
    })
  )
  report('get', get)
  await printMemory(daemons)
})

async function inParallel(total: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < total) await work(next++)
    })
  )
}

function report(name: string, { s, cpu }: { s: number; cpu: number[] }): void {
  console.log(
    `${name}: ${(count / s).toFixed(0)} files/s (${s.toFixed(2)} s), CPU ${cpu.map(value => value.toFixed(2)).join(' + ')} s`
  )
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}
