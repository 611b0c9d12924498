import { randomBytes } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Machines } from '../peers/machines.ts'
import { Ours } from '../peers/ours.ts'
import type { Micro } from './micro.ts'

const SOURCES = [1, 2, 4, 8]
const FILE_BYTES = 32 << 20
const UPLINK_BITS = 100e6
const ROOT = join(import.meta.dirname, '../../..')

/** One machine reads a file that it holds nothing of from others, each behind an uplink of 100 Mbit/s. */
export const sources: Micro = {
  title: 'Getting 32 MiB from machines with uplinks of 100 Mbit/s',
  x: 'machines that have it',
  y: 's',
  async measure({ folder, say }) {
    const source = join(folder, 'file.bin')
    await writeFile(source, randomBytes(FILE_BYTES))
    const measured: Array<[number, number]> = []
    const ideal: Array<[number, number]> = []
    for (const count of SOURCES) {
      const own = join(folder, String(count))
      await mkdir(own)
      const machines = await Machines.create(count + 1)
      const ours = new Ours(ROOT)
      try {
        await ours.start(machines.all, own)
        await ours.send(source)
        for (let i = 0; i < count; i++) machines.limit(i, UPLINK_BITS)
        const read = await ours.read(count, source, { offset: 0, length: FILE_BYTES })
        const seconds = read.totalMs / 1000
        measured.push([count, seconds])
        ideal.push([count, (FILE_BYTES * 8) / (UPLINK_BITS * count)])
        say(`${count} sources: ${seconds.toFixed(2)} s, ${(FILE_BYTES / 1e6 / seconds).toFixed(1)} MB/s`)
      } finally {
        await ours.stop()
        machines.remove()
        await rm(own, { recursive: true, force: true })
      }
    }
    return [
      { name: 'measured', points: measured },
      { name: 'the uplinks together', points: ideal }
    ]
  }
}
