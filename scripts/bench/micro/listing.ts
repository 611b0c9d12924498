import { randomBytes } from 'node:crypto'
import type { TestContext } from 'node:test'
import { MonitoredFiles } from '../../../src/disk/monitored-files.ts'
import { type EntryBody, ROOT_ENTRY, signRecord } from '../../../src/format/entry.ts'
import { parsePath } from '../../../src/format/path.ts'
import { inlineRoot } from '../../../src/format/seal-file.ts'
import type { Statement } from '../../../src/format/statement.ts'
import { listPath } from '../../../src/fs/list.ts'
import { generateNetworkKey } from '../../../src/index.ts'
import type { Log } from '../../../src/log/log.ts'
import { type Epoch, KeyRing } from '../../../src/members/key-ring.ts'
import { secretsOf } from '../../../src/node/identity.ts'
import type { Stack } from '../../../src/node/stack.ts'
import { startRooms } from '../../../test/fixtures/stack.ts'
import type { Micro } from './micro.ts'

const FILES_MIN = 1_000
const GROWTH = 10
/** Files of one small directory. Half of all files are in a single one. */
const SMALL = 100
const APPEND_AT_ONCE = 512
/** Background work looks at what is new first. */
const SETTLE_MS = 3_000
const SAMPLES = 3
/** Where one sample takes longer, it is not repeated: chance no longer matters much. */
const LONG_MS = 2_000

/** Listings of one node whose network grows. The files are put straight into its log. */
export const listing: Micro = {
  title: 'Listing, by the number of files in the network',
  x: 'files',
  y: 'ms',
  async measure({ folder, filesMax, say }) {
    const ends: Array<() => unknown> = []
    try {
      const networkKey = generateNetworkKey()
      const t = { after: (end: () => unknown) => ends.push(end) } as unknown as TestContext
      const rooms = await startRooms(t, { dataDir: folder, networkKey })
      const secrets = await secretsOf({ dataDir: folder, networkKey }, new MonitoredFiles(folder))
      const fill = filler(rooms, new KeyRing(secrets.epochs).newest as Epoch)
      const lists = {
        'a directory of 100': { path: `/0/small-0`, recursive: false },
        'a directory of half of the files': { path: '', recursive: false },
        'all files': { path: '/', recursive: true },
        'all files, until the first line': { path: '/', recursive: true, isFirstOnly: true }
      }
      const points = new Map(Object.keys(lists).map(name => [name, [] as Array<[number, number]>]))
      for (let files = FILES_MIN, step = 0; files <= filesMax; files *= GROWTH, step++) {
        const already = files === FILES_MIN ? 0 : files / GROWTH
        const from = performance.now()
        await fill(step, files - already)
        say(`${files} files: filled in ${seconds(from)} s`)
        await new Promise(resolve => setTimeout(resolve, SETTLE_MS))
        lists['a directory of half of the files'].path = `/${step}/large`
        for (const [name, list] of Object.entries(lists)) {
          const { ms, items, moreMib } = await leastTime(rooms, list)
          points.get(name)?.push([files, ms])
          say(`${files} files, list ${name}: ${items} items, ${ms.toFixed(1)} ms, ${moreMib} MiB more`)
        }
      }
      return [...points].map(([name, points]) => ({ name, points }))
    } finally {
      for (const end of ends.reverse()) await end()
    }
  }
}

interface List {
  path: string
  recursive: boolean
  isFirstOnly?: boolean
}

/** The least of some times, and the most memory that the process had more than before. */
async function leastTime({ fs }: Stack, list: List): Promise<{ ms: number; items: number; moreMib: number }> {
  let [ms, items, moreMib] = [Number.POSITIVE_INFINITY, 0, 0]
  for (let sample = 0; sample < SAMPLES; sample++) {
    const before = process.memoryUsage.rss()
    const from = performance.now()
    items = 0
    for await (const _ of listPath(fs, parsePath(list.path), { recursive: list.recursive })) {
      if (++items % 1_000 === 0) moreMib = Math.max(moreMib, Math.round((process.memoryUsage.rss() - before) / 2 ** 20))
      if (list.isFirstOnly === true) break
    }
    ms = Math.min(ms, performance.now() - from)
    if (ms > LONG_MS) break
  }
  return { ms, items, moreMib }
}

/**
 * Returns a function that adds files below a new directory that is named by a number: half of them in `large`, the others
 * in directories of 100.
 */
function filler({ fs, log }: Stack, epoch: Epoch): (name: number, files: number) => Promise<void> {
  const { self } = fs.members
  const content = Buffer.from('hello')
  const root = inlineRoot(epoch.content, content)
  const incarnation = randomBytes(8)
  let waiting: Array<Statement<'entry'>> = []
  const flush = async (): Promise<void> => {
    await (log as Log).append(waiting, self.signer)
    waiting = []
  }
  const add = async (parent: Uint8Array, name: string, kind: 'file' | 'directory'): Promise<Uint8Array> => {
    const entry = randomBytes(16)
    const isFile = kind === 'file'
    const body: EntryBody = isFile
      ? { parent, name, kind, size: content.byteLength, mtime: 0, content }
      : { parent, name, kind, size: 0, mtime: 0 }
    const facts = { root: isFile ? root : null, rootEpoch: isFile ? epoch.id : null, replicas: 1, body }
    const stamps = { seen: [], placed: null, written: null }
    const fields = { entry, incarnation, epoch: epoch.id, op: 'put' as const, ...stamps, ...facts }
    waiting.push(signRecord(fields, { ...self.signing(self.nextHlc()), subkey: epoch.record }))
    if (waiting.length >= APPEND_AT_ONCE) await flush()
    return entry
  }
  return async (name, files) => {
    const top = await add(ROOT_ENTRY, String(name), 'directory')
    const large = await add(top, 'large', 'directory')
    const largeFiles = Math.floor(files / 2)
    for (let i = 0; i < largeFiles; i++) await add(large, `file-${i}.txt`, 'file')
    let small = large
    for (let i = 0; i < files - largeFiles; i++) {
      if (i % SMALL === 0) small = await add(top, `small-${i / SMALL}`, 'directory')
      await add(small, `file-${i}.txt`, 'file')
    }
    await flush()
  }
}

function seconds(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 1000).toFixed(1)
}
