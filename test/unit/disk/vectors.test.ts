import assert from 'node:assert/strict'
import { createCipheriv, createDecipheriv, hash, scryptSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { WrongPassphraseError } from '../../../src/disk/errors.ts'
import { IndexDb } from '../../../src/disk/index-db.ts'
import { Keystore, type Secrets } from '../../../src/disk/keystore.ts'
import type { Cursor } from '../../../src/disk/place.ts'
import { LARGE_ROWS } from '../../../src/disk/segment-layout.ts'
import { Segments } from '../../../src/disk/segments.ts'
import { toHex } from '../../../src/util/bytes.ts'
import type { Chance } from '../../../src/util/chance.ts'
import { FakeFiles } from '../../fixtures/fake-files.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { MemoryDatabase } from '../../fixtures/memory-database.ts'
import { gather } from '../../fixtures/streams.ts'

interface SegmentVectors {
  storeId: string
  segment: number
  rows: Array<{ type: number; offset: number; payload: string; checksum: number }>
  footer: { offset: number; rows: number; sum: number; checksum: number }
  file: string
  /** The index value for the first row. */
  index: { key: string; value: string; stored: string }
}
interface PlainSecrets {
  device: string
  x25519: string
  names: string
  network: string
  epochs: Array<{ id: string; key: string }>
  networkKey: string
  grants: string[]
}
interface KeystoreVectors {
  secrets: PlainSecrets
  /** The keystore that is not sealed, as earlier versions wrote it, and as it is written. */
  open: string
  checked: string
  passphrase: string
  sealed: Array<{ N: number; salt: string; nonce: string; file: string }>
}
interface SealedFile {
  v: number
  scrypt: { N: number; r: number; p: number; salt: string }
  nonce: string
  box: string
}

const segment = read<SegmentVectors>('segment.json')
const keystore = read<KeystoreVectors>('keystore.json')
const FILE = bytes(segment.file)
const PATH = 'segments/00000001.seg'
const NEXT_PATH = 'segments/00000002.seg'
const HEADER_BYTES = 24

function read<T>(name: string): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, '../../vectors', name), 'utf8'))
}

function bytes(hex: string): Buffer {
  return Buffer.from(hex, 'hex')
}

function words(...values: number[]): Buffer {
  const buffer = Buffer.alloc(4 * values.length)
  for (const [i, value] of values.entries()) buffer.writeUInt32BE(value, 4 * i)
  return buffer
}

const rows = segment.rows.map(({ type, payload }) => ({ type, payload: bytes(payload) }))

async function openSegments(files: FakeFiles, segmentBytes?: number): Promise<Segments> {
  const options = segmentBytes === undefined ? {} : { segmentBytes }
  const segments = new Segments({ files, storeId: bytes(segment.storeId), logger: silentLogger, ...options })
  await segments.open()
  return segments
}

/** The frozen segment on a disk, with another one after it: a segment that is not the last must have its footer. */
async function diskWith(file: Buffer): Promise<FakeFiles> {
  const files = new FakeFiles()
  await files.makeDirectory('segments')
  await files.writeNew(PATH, [file])
  await files.writeNew(NEXT_PATH, [FILE.subarray(0, HEADER_BYTES)])
  return files
}

test('frozen vectors: a segment is written byte for byte', async () => {
  const files = new FakeFiles()
  const segments = await openSegments(files, segment.footer.offset)
  const places = await segments.append(rows)
  assert.deepEqual(
    places,
    segment.rows.map(({ offset, payload }) => ({ segment: 1, offset, length: payload.length / 2 }))
  )
  // The segment is long enough, so the next row closes it.
  await segments.append([{ type: 1, payload: Buffer.from('the next segment') }])
  assert.equal(toHex(await files.read(PATH)), segment.file)
})

test('frozen vectors: a segment is read, and every changed byte is noticed', async () => {
  const segments = await openSegments(await diskWith(FILE))
  const damage: Cursor[] = []
  const found = await gather(segments.scanSegment(1, 0, at => damage.push(at)))
  assert.deepEqual(damage, [])
  assert.deepEqual(
    found.map(({ type, place, checksum, payload }) => [type, place.offset, checksum, payload.byteLength]),
    segment.rows.map(({ type, offset, checksum, payload }) => [type, offset, checksum, payload.length / 2])
  )
  for (const { type, offset, payload } of segment.rows) {
    const row = await segments.read({ segment: 1, offset, length: payload.length / 2 })
    assert.deepEqual([row.type, toHex(row.payload)], [type, payload])
  }
  for (let at = 0; at < FILE.byteLength; at++) {
    const altered = Buffer.from(FILE)
    altered[at]! ^= 1
    const files = await diskWith(altered)
    const segments = await openSegments(files)
    const damaged = [...segments.damage]
    for await (const _ of segments.scanSegment(1, 0, cursor => damaged.push(cursor)));
    assert.equal(damaged.length, 1, `byte ${at}`)
  }
})

test('a second implementation of the segment, written from SPEC.md, computes the same bytes', () => {
  const storeId = bytes(segment.storeId)
  let file: Buffer = Buffer.concat([Buffer.from('DFSSEG1\n', 'latin1'), storeId])
  let sum = 0
  const add = (type: number, payload: Buffer): number => {
    const lengthAndType = Buffer.concat([words(payload.byteLength), Buffer.of(type)])
    const place = words(segment.segment, file.byteLength)
    const checksum = crc32(Buffer.concat([storeId, place, lengthAndType, payload]))
    file = Buffer.concat([file, bytes('df5e6a01'), lengthAndType, words(checksum), payload])
    return checksum
  }
  for (const { type, offset, payload, checksum } of segment.rows) {
    assert.equal(file.byteLength, offset)
    assert.equal(add(type, bytes(payload)), checksum)
    sum = (sum + checksum) % 2 ** 32
  }
  const { footer } = segment
  assert.deepEqual([footer.offset, footer.rows, footer.sum], [file.byteLength, segment.rows.length, sum])
  assert.equal(add(0xff, words(footer.rows, footer.sum)), footer.checksum)
  assert.equal(toHex(file), segment.file)
})

interface LargeSegmentVectors {
  storeId: string
  segment: number
  /** The sealed bytes of each block are a text that is repeated, up to a length. */
  rows: Array<{ offset: number; multihash: string; text: string; length: number; checksum: number }>
  footer: { offset: number; rows: number; sum: number; checksum: number }
  bytes: number
  sha256: string
}

const large = read<LargeSegmentVectors>('large-segment.json')
const largeRows = large.rows.map(({ multihash, text, length }) => ({
  type: 6,
  payload: bytes(multihash),
  body: Buffer.alloc(length, text)
}))

test('frozen vectors: a segment of large blocks is written byte for byte', async () => {
  const files = new FakeFiles()
  const options = { files, storeId: bytes(large.storeId), logger: silentLogger, kind: LARGE_ROWS }
  const segments = new Segments({ ...options, segmentBytes: large.footer.offset })
  await segments.open()
  const places = await segments.append(largeRows)
  assert.deepEqual(
    places,
    large.rows.map(({ offset, length }) => ({ segment: large.segment, offset, length: 34 + length }))
  )
  await segments.endLast()
  const file = await files.read('blocks/00000001.seg')
  assert.deepEqual([file.byteLength, hash('sha256', file)], [large.bytes, large.sha256])
  for (const [i, place] of places.entries()) {
    assert.equal(toHex((await segments.read(place)).payload), large.rows[i]?.multihash)
    assert.ok(largeRows[i]?.body.equals(await segments.readUnchecked(place, 34)))
  }
})

test('a second implementation of the segment of large blocks, written from SPEC.md, computes the same bytes', () => {
  const storeId = bytes(large.storeId)
  const padded = (buffer: Buffer): Buffer =>
    Buffer.concat([buffer, Buffer.alloc((4_096 - (buffer.byteLength % 4_096)) % 4_096)])
  let file = padded(Buffer.concat([Buffer.from('DFSSEG1\n', 'latin1'), storeId]))
  const add = (type: number, checked: Buffer, rest = Buffer.alloc(0)): number => {
    const lengthAndType = Buffer.concat([words(checked.byteLength + rest.byteLength), Buffer.of(type)])
    const place = words(0x8000_0001, file.byteLength)
    const checksum = crc32(Buffer.concat([storeId, place, lengthAndType, checked]))
    file = padded(Buffer.concat([file, bytes('df5e6a01'), lengthAndType, words(checksum), checked, rest]))
    return checksum
  }
  let sum = 0
  for (const { offset, multihash, text, length, checksum } of large.rows) {
    assert.equal(file.byteLength, offset)
    assert.equal(add(6, bytes(multihash), Buffer.alloc(length, text)), checksum)
    sum = (sum + checksum) % 2 ** 32
  }
  const { footer } = large
  assert.deepEqual([footer.offset, footer.rows, footer.sum], [file.byteLength, large.rows.length, sum])
  assert.equal(add(0xff, words(footer.rows, footer.sum)), footer.checksum)
  assert.deepEqual([file.byteLength, hash('sha256', file)], [large.bytes, large.sha256])
})

test('frozen vectors: an index value follows the checksum of its key and itself', async () => {
  const { key, value, stored } = segment.index
  const database = new MemoryDatabase()
  const index = new IndexDb(database.asDatabase, silentLogger)
  await index.open()
  await index.batch([{ type: 'put', key: bytes(key), value: bytes(value) }])
  assert.equal(toHex(database.getSync(bytes(key)) as Uint8Array), stored)
  assert.equal(toHex((await index.get(bytes(key))) as Uint8Array), value)
  assert.equal(toHex(Buffer.concat([words(crc32(Buffer.concat([bytes(key), bytes(value)]))), bytes(value)])), stored)
  const [first] = segment.rows
  assert.equal(toHex(words(1, first?.offset as number, (first?.payload.length as number) / 2)), value)
})

function secretsOf({ epochs, grants, ...rest }: PlainSecrets): Secrets {
  return {
    device: bytes(rest.device),
    x25519: bytes(rest.x25519),
    names: bytes(rest.names),
    network: bytes(rest.network),
    epochs: epochs.map(({ id, key }) => ({ id: bytes(id), key: bytes(key) })),
    networkKey: bytes(rest.networkKey),
    grants: grants.map(bytes)
  }
}

function plainOf({ device, x25519, names, network, epochs, networkKey, grants }: Secrets): PlainSecrets {
  return {
    device: toHex(device),
    x25519: toHex(x25519),
    names: toHex(names),
    network: toHex(network),
    epochs: epochs.map(({ id, key }) => ({ id: toHex(id), key: toHex(key) })),
    networkKey: toHex(networkKey as Uint8Array),
    grants: grants.map(toHex)
  }
}

/** Chance that returns each of these values once, in this order. */
function drawing(...draws: Uint8Array[]): Chance {
  return {
    bytes: length => {
      const drawn = draws.shift()
      assert.equal(drawn?.byteLength, length)
      return drawn as Uint8Array
    },
    fraction: () => 0
  }
}

async function saved(chance: Chance, passphrase?: string): Promise<string> {
  const files = new FakeFiles()
  await new Keystore({ files, chance, logger: silentLogger, passphrase }).save(secretsOf(keystore.secrets))
  return Buffer.from(await files.read('keystore')).toString('utf8')
}

async function loaded(file: string, passphrase?: string): Promise<PlainSecrets> {
  const files = new FakeFiles()
  await files.writeNew('keystore', [Buffer.from(file)])
  return plainOf((await new Keystore({ files, chance: drawing(), logger: silentLogger, passphrase }).load()) as Secrets)
}

/** The key of a passphrase, however its characters are composed. */
function stretched(passphrase: string, N: number, salt: string): Buffer {
  return scryptSync(Buffer.from(passphrase.normalize('NFC')), bytes(salt), 32, { N, r: 8, p: 1, maxmem: 2 ** 28 })
}

test('frozen vectors: a keystore that is not sealed is read and written', async () => {
  assert.equal(await saved(drawing()), keystore.checked)
  for (const file of [keystore.open, keystore.checked]) assert.deepEqual(await loaded(file), keystore.secrets)
  assert.deepEqual(JSON.parse(keystore.open), { v: 1, secrets: keystore.secrets })
  const check = hash('sha256', JSON.stringify(keystore.secrets), 'hex')
  assert.deepEqual(JSON.parse(keystore.checked), { v: 1, secrets: keystore.secrets, check })
})

test('frozen vectors: a sealed keystore opens, also at another cost than ours', async () => {
  // The same characters in the other normal form.
  const passphrase = keystore.passphrase.normalize('NFD')
  assert.notEqual(passphrase, keystore.passphrase)
  for (const { file } of keystore.sealed) assert.deepEqual(await loaded(file, passphrase), keystore.secrets)
  const { file } = keystore.sealed[0] as (typeof keystore.sealed)[0]
  const { box } = JSON.parse(file) as SealedFile
  const altered = file.replace(box, `${box.slice(0, -1)}${box.endsWith('0') ? '1' : '0'}`)
  await assert.rejects(loaded(altered, passphrase), WrongPassphraseError)
})

test('frozen vectors: a keystore is sealed byte for byte at our cost', async () => {
  const { salt, nonce, file } = keystore.sealed.find(({ N }) => N === 2 ** 17) as (typeof keystore.sealed)[0]
  assert.equal(await saved(drawing(bytes(salt), bytes(nonce)), keystore.passphrase), file)
})

test('a second implementation of the keystore, written from SPEC.md, seals and opens it', () => {
  for (const { N, salt, nonce, file } of keystore.sealed) {
    const key = stretched(keystore.passphrase, N, salt)
    const cipher = createCipheriv('aes-256-gcm', key, bytes(nonce))
    const box = Buffer.concat([cipher.update(JSON.stringify(keystore.secrets)), cipher.final(), cipher.getAuthTag()])
    const stated: SealedFile = { v: 1, scrypt: { N, r: 8, p: 1, salt }, nonce, box: toHex(box) }
    assert.equal(`${JSON.stringify(stated, null, 2)}\n`, file)
    const found = bytes((JSON.parse(file) as SealedFile).box)
    const decipher = createDecipheriv('aes-256-gcm', key, bytes(nonce)).setAuthTag(found.subarray(-16))
    const plain = Buffer.concat([decipher.update(found.subarray(0, -16)), decipher.final()])
    assert.deepEqual(JSON.parse(plain.toString('utf8')), keystore.secrets)
  }
})

test('frozen vectors: a row is made void in place, and the footer still matches', async () => {
  const files = await diskWith(FILE)
  const segments = await openSegments(files)
  const { type, offset, payload } = segment.rows[0] as (typeof segment.rows)[0]
  await segments.void([{ segment: 1, offset, length: payload.length / 2 }])
  // Written as SPEC.md describes it, without the code that is tested.
  const fields = Buffer.alloc(13)
  fields.writeUInt32BE(1, 0)
  fields.writeUInt32BE(offset, 4)
  fields.writeUInt32BE(payload.length / 2, 8)
  fields.writeUInt8(type + 0x80, 12)
  const covered = Buffer.concat([Buffer.from(segment.storeId, 'hex'), fields, Buffer.from(payload, 'hex')])
  const expected = Buffer.from(FILE)
  expected.writeUInt8(type + 0x80, offset + 8)
  expected.writeUInt32BE(crc32(covered), offset + 9)
  assert.equal(toHex(await files.read(PATH)), toHex(expected))
  const damage: Cursor[] = []
  const found = await gather(segments.scanSegment(1, 0, at => damage.push(at)))
  assert.deepEqual(
    found.map(({ type, isVoid }) => [type, isVoid]),
    segment.rows.map(({ type }, i) => [type, i === 0])
  )
  assert.deepEqual(damage, [])
})
