import { copyFile, mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestData } from './data.ts'
import type { Machines } from './machines.ts'
import type { Peer } from './peer.ts'
import { commandSeconds, output, run } from './processes.ts'

/** What a workload measures, by name. */
export type Figures = Record<string, number>

export interface Workload {
  title: string
  machines: number
  /** Whether a system can take part. */
  suits?(peer: Peer): boolean
  run(setting: Setting): Promise<Figures>
}

export interface Setting {
  peer: Peer
  machines: Machines
  data: TestData
  /** An empty folder. */
  folder: string
}

const MB = 1e6
const MIB = 1 << 20
const THIN_BITS_PER_S = 100e6
const MIDDLE = { offset: 128 * MIB + 12_345, length: MIB }

export const WORKLOADS: Record<string, Workload> = {
  a: sends('1 file of 1 GiB to one other', 2, data => data.large, 1),
  b: sends('64 files of 16 MiB to one other', 2, data => data.many, 64),
  c: sends('1,000 files of 4 KiB to one other', 2, data => data.thousand, 1_000),
  c20k: sends('20,000 files of 4 KiB to one other', 2, data => data.twentyThousand, 20_000),
  docs: sends('1,000 files of 100 KiB to one other', 2, data => data.documents, 1_000),
  photos: sends('200 files of 3 MiB to one other', 2, data => data.photos, 200),
  d: sends('1 file of 256 MiB to two others', 3, data => data.medium, 1),
  thin: {
    title: '1 file of 64 MiB to two others, 100 Mbit/s each way',
    machines: 3,
    run: thin
  },
  e: {
    title: 'a machine without copies reads a file of 256 MiB',
    machines: 3,
    suits: peer => peer.read !== undefined,
    run: firstByte
  },
  f: {
    title: 'a file of 256 MiB changes a little',
    machines: 2,
    run: changes
  },
  frozen: {
    title: '16 MiB are put while one of three machines is frozen',
    machines: 3,
    suits: peer => peer.sendPast !== undefined,
    run: async ({ peer, machines, data }) => {
      const { seconds, cpuS } = await measure(peer, machines, () => peer.sendPast?.(2, data.small))
      return { frozenS: seconds, cpuS }
    }
  }
}

/** A workload in which one machine sends a file or folder to the others. */
function sends(title: string, machines: number, sourceIn: (data: TestData) => string, files: number): Workload {
  return { title, machines, run: setting => transfer(setting, sourceIn(setting.data), files) }
}

/** Sends a file or folder, and lets each receiver return it. */
async function transfer({ peer, machines }: Setting, source: string, files: number): Promise<Figures> {
  const bytes = await lengthOf(source)
  const receivers = machines.all.length - 1
  const sent = await measure(peer, machines, () => peer.send(source))
  const figures: Figures = {
    mbPerS: (bytes * receivers) / MB / sent.seconds,
    filesPerS: files / sent.seconds,
    seconds: sent.seconds,
    cpuS: sent.cpuS,
    wireRatio: sent.wireBytes / bytes,
    storeRatio: (await diskBytes(peer.storeOf(1))) / bytes
  }
  await peer.loseSender?.()
  for (let i = 1; i <= receivers; i++) {
    let copy = ''
    const back = await measure(peer, machines, async () => {
      copy = await peer.copyOn(i, source)
    })
    if (i === 1 && peer.restores) Object.assign(figures, { backS: back.seconds, backCpuS: back.cpuS })
    await assertSame(source, copy)
  }
  return figures
}

/** Every machine has a link of 100 Mbit/s in each direction. */
async function thin({ peer, machines, data }: Setting): Promise<Figures> {
  for (const i of machines.all.keys()) machines.limit(i, THIN_BITS_PER_S, { bothWays: true })
  const bytes = await lengthOf(data.modest)
  const before = machines.wireBytes(0)
  const { seconds, cpuS } = await measure(peer, machines, () => peer.send(data.modest))
  const uplinkRatio = (machines.wireBytes(0) - before) / bytes
  for (let i = 1; i < machines.all.length; i++) await assertSame(data.modest, await peer.copyOn(i, data.modest))
  return { seconds, mbPerS: (bytes * (machines.all.length - 1)) / MB / seconds, uplinkRatio, cpuS }
}

/** The two receivers read one after the other, so that each is cold. */
async function firstByte({ peer, machines, data }: Setting): Promise<Figures> {
  const first = await peer.read?.(1, data.medium)
  const before = machines.wireBytes()
  const range = await peer.read?.(2, data.medium, MIDDLE)
  if (first === undefined || range === undefined) throw new Error('it cannot read a part')
  if (range.bytes !== MIDDLE.length) throw new Error(`a range of ${MIDDLE.length} bytes came back as ${range.bytes}`)
  if (machines.wireBytes() - before < MIDDLE.length) throw new Error('the machine that read was not cold')
  return { firstByteMs: first.firstByteMs, rangeMs: range.totalMs }
}

/** Overwrites 1 MiB in the middle, then inserts 10 bytes at the front, and counts what is sent again. */
async function changes({ peer, machines, data, folder }: Setting): Promise<Figures> {
  const live = join(folder, 'live', 'document.bin')
  await mkdir(join(folder, 'live'))
  const sent: number[] = []
  for (const version of data.versions) {
    await rm(live, { force: true })
    await copyFile(version, live)
    sent.push((await measure(peer, machines, () => peer.send(live))).wireBytes / MB)
    await assertSame(version, await peer.copyOn(1, live))
  }
  return { changedMb: sent[1] as number, insertedMb: sent[2] as number }
}

interface Cost {
  seconds: number
  cpuS: number
  wireBytes: number
}

/** Measures one piece of work, with the processor time of every process of the system. */
async function measure(peer: Peer, machines: Machines, work: () => Promise<void> | undefined): Promise<Cost> {
  const cpu = (): number => peer.cpuSeconds() + commandSeconds()
  const before = { cpu: cpu(), wire: machines.wireBytes() }
  const from = performance.now()
  await work()
  const seconds = (performance.now() - from) / 1000
  return { seconds, cpuS: cpu() - before.cpu, wireBytes: machines.wireBytes() - before.wire }
}

/** Compares a file or folder with a copy. A system may keep files of its own, whose names begin with a dot, beside them. */
async function assertSame(source: string, copy: string): Promise<void> {
  await run(['diff', '--recursive', '--brief', '--exclude=.*', source, copy])
}

/** The length of a file, or of all files in a folder. */
async function lengthOf(source: string): Promise<number> {
  const found = await stat(source)
  if (found.isFile()) return found.size
  const sizes = (await readdir(source)).map(async name => (await stat(join(source, name))).size)
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

async function diskBytes(folder: string): Promise<number> {
  return Number((await output(['du', '-s', '--block-size=1', folder])).split('\t')[0])
}
