import { randomBytes } from 'node:crypto'
import { nameBlock, RAW } from '../../../src/format/cid.ts'
import { ROOT_ENTRY, signRecord } from '../../../src/format/entry.ts'
import { hlcAt } from '../../../src/format/stamp.ts'
import { decodeAnyStatement, verifyStatement } from '../../../src/format/statement.ts'
import { VERIFY_AT_ONCE } from '../../../src/log/constants.ts'
import { Limiter } from '../../../src/util/limiter.ts'
import { author, device, network, recordSubkey } from '../../../test/fixtures/keys.ts'
import { leastMicros, type Micro } from './micro.ts'

const SIZES = [1, 10, 100, 1_000]
const someBlock = nameBlock(randomBytes(64), RAW).bytes
const AT_MS = Date.UTC(2026, 0)

/** Decoding the records of one message and checking their signatures, as their receiver does. */
export const verifyRecords: Micro = {
  title: 'Verifying records that arrive together',
  x: 'records',
  y: 'µs',
  async measure({ say }) {
    const limiter = new Limiter(VERIFY_AT_ONCE)
    const verify = async (bytes: Uint8Array): Promise<void> => {
      const statement = decodeAnyStatement(bytes)
      const isValid = await limiter.run(() => verifyStatement(statement, network.network, author))
      if (!isValid) throw new Error('a signature is not valid')
    }
    const records = Array.from({ length: SIZES.at(-1) as number }, (_, i) => recordBytes(i))
    const points: Array<[number, number]> = []
    for (const size of SIZES) {
      const message = records.slice(0, size)
      points.push([size, await leastMicros(() => Promise.all(message.map(verify)))])
    }
    const [size, micros] = points.at(-1) as [number, number]
    say(`records verified a second: ${((size / micros) * 1e6).toFixed(0)}, ${size} together`)
    return [{ name: 'decode and verify', points }]
  }
}

function recordBytes(i: number): Uint8Array {
  const stamps = { seen: [], placed: null, written: null }
  const body = {
    parent: ROOT_ENTRY,
    name: `file-${i}.txt`,
    kind: 'file' as const,
    size: 4096,
    mtime: 0,
    key: randomBytes(32)
  }
  const content = { root: someBlock, rootEpoch: network.network, replicas: 3, body }
  const entry = { entry: randomBytes(16), incarnation: randomBytes(8), epoch: network.network, op: 'put' as const }
  const signing = { network: network.network, key: device, author, grant: randomBytes(32), subkey: recordSubkey }
  return signRecord({ ...entry, ...stamps, ...content }, { ...signing, hlc: hlcAt(AT_MS + i, 0) }).bytes
}
