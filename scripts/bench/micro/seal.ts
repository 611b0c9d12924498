import { createHash, randomBytes } from 'node:crypto'
import { open, seal, secretKey } from '../../../src/format/seal.ts'
import { returnBuffer } from '../../../src/util/buffer-pool.ts'
import { leastMicros, type Micro } from './micro.ts'

const SIZES = [256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20]

/** Sealing and opening one chunk, on the main thread, beside a plain SHA-256 of it. */
export const sealAndOpen: Micro = {
  title: 'Sealing and opening a chunk',
  x: 'bytes of text',
  y: 'µs',
  async measure({ say }) {
    const subkey = secretKey(randomBytes(32))
    const sealed: Array<[number, number]> = []
    const opened: Array<[number, number]> = []
    const hashed: Array<[number, number]> = []
    for (const size of SIZES) {
      const text = randomBytes(size)
      const { bytes, key } = seal(subkey, text, { label: 'chunk' })
      sealed.push([size, await leastMicros(() => returnBuffer(seal(subkey, text, { label: 'chunk' }).bytes))])
      opened.push([size, await leastMicros(() => open(key, bytes, { label: 'chunk' }))])
      hashed.push([size, await leastMicros(() => createHash('sha256').update(text).digest())])
    }
    const speed = (points: Array<[number, number]>): string => {
      const [size, micros] = points.at(-1) as [number, number]
      return `${(size / micros).toFixed(0)} MB/s`
    }
    say(`chunks of 1 MiB: seal ${speed(sealed)}, open ${speed(opened)}, SHA-256 ${speed(hashed)}`)
    return [
      { name: 'seal', points: sealed },
      { name: 'open', points: opened },
      { name: 'SHA-256, for comparison', points: hashed }
    ]
  }
}
