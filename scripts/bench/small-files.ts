/**
 * Workload c: a thousand files of 4 KiB, acknowledged by one other node. `node scripts/bench/small-files.ts [COUNT]
 * [--library|--single]`. All processes are new, so much of the measured time goes into code that is not compiled yet.
 */
import { randomBytes } from 'node:crypto'
import { measured, numbers, withPair } from './cluster.ts'

const [count = 1000] = numbers
/** The number of files that `dfs put FOLDER` puts at the same time. */
const AT_ONCE = 128

await withPair(async (a, b) => {
  const files = Array.from({ length: count }, () => randomBytes(4096))
  const put = await measured([a, b], () =>
    inParallel(count, async i => {
      const bytes = files[i] as Buffer
      const { reached } = await a.put(`/small/file ${i}`, bytes, bytes.byteLength)
      if (reached.length !== 2) throw new Error('a put did not reach the other node')
    })
  )
  report('put', put)
  const get = await measured([a, b], () =>
    inParallel(count, async i => {
      const parts: Uint8Array[] = []
      for await (const part of await b.get(`/small/file ${i}`)) parts.push(part)
      if (!Buffer.concat(parts).equals(files[i] as Buffer)) throw new Error('a file came back with other bytes')
    })
  )
  report('get', get)
})

async function inParallel(total: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < total) await work(next++)
    })
  )
}

function report(name: string, { s, cpu }: { s: number; cpu: string }): void {
  console.log(`${name}: ${(count / s).toFixed(0)} files/s (${s.toFixed(2)} s), CPU ${cpu} s`)
}
