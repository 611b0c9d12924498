import { createCipheriv } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { copyFile, mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

const KIB = 1 << 10
const MIB = 1 << 20
const PIECE_BYTES = MIB
/** Where the second version of a document differs from the first. No chunk of any system begins here. */
const CHANGED_AT = 128 * MIB + 333_333

/** What the workloads send. */
export interface TestData {
  /** 1 GiB. */
  large: string
  /** 64 files of 16 MiB. */
  many: string
  /** 1,000 files of 4 KiB. */
  thousand: string
  /** 20,000 files of 4 KiB. */
  twentyThousand: string
  /** 1,000 files of 100 KiB. */
  documents: string
  /** 200 files of 3 MiB. */
  photos: string
  /** 256 MiB. */
  medium: string
  /** 64 MiB. */
  modest: string
  /** 16 MiB. */
  small: string
  /** 256 MiB; with 1 MiB overwritten; with 10 bytes inserted at the front as well. */
  versions: string[]
}

/** Returns the test data in this folder. The same bytes every time, made when they are first needed: 4 GB. */
export async function testData(folder: string): Promise<TestData> {
  await mkdir(folder, { recursive: true })
  const at = (name: string): string => join(folder, name)
  await once(at('large.bin'), path => random(path, 1024 * MIB, 1))
  await once(at('medium.bin'), path => random(path, 256 * MIB, 2))
  await once(at('modest.bin'), path => random(path, 64 * MIB, 7))
  await once(at('small.bin'), path => random(path, 16 * MIB, 3))
  await once(at('many'), path => files(path, 64, 16 * MIB, 100))
  await once(at('thousand'), path => files(path, 1_000, 4 * KIB, 4))
  await once(at('twenty-thousand'), path => files(path, 20_000, 4 * KIB, 5))
  await once(at('documents'), path => files(path, 1_000, 100 * KIB, 8))
  await once(at('photos'), path => files(path, 200, 3 * MIB, 9))
  await once(at('changed.bin'), async path => {
    await copyFile(at('medium.bin'), path)
    const file = await open(path, 'r+')
    await file.write(keystream(MIB, 6), 0, MIB, CHANGED_AT)
    await file.close()
  })
  await once(at('inserted.bin'), async path => {
    await writeFile(path, Buffer.concat([Buffer.from('0123456789'), await readFile(at('changed.bin'))]))
  })
  return {
    large: at('large.bin'),
    many: at('many'),
    thousand: at('thousand'),
    twentyThousand: at('twenty-thousand'),
    documents: at('documents'),
    photos: at('photos'),
    medium: at('medium.bin'),
    modest: at('modest.bin'),
    small: at('small.bin'),
    versions: [at('medium.bin'), at('changed.bin'), at('inserted.bin')]
  }
}

/** Makes a file or folder under another name first, so that one whose making was interrupted is made again. */
async function once(path: string, make: (path: string) => Promise<void>): Promise<void> {
  if ((await stat(path).catch(() => undefined)) !== undefined) return
  const unfinished = `${path}.unfinished`
  await rm(unfinished, { recursive: true, force: true })
  await make(unfinished)
  await rename(unfinished, path)
}

async function files(folder: string, count: number, bytes: number, seed: number): Promise<void> {
  await mkdir(folder)
  const cipher = cipherOf(seed)
  for (let i = 0; i < count; i++) await writeFile(join(folder, `file ${i}.bin`), cipher.update(Buffer.alloc(bytes)))
}

/** Bytes that no system can compress or find twice, always the same for a seed. */
function keystream(bytes: number, seed: number): Buffer {
  return cipherOf(seed).update(Buffer.alloc(bytes))
}

async function random(path: string, bytes: number, seed: number): Promise<void> {
  const cipher = cipherOf(seed)
  const zeros = Buffer.alloc(PIECE_BYTES)
  const pieces = function* (): Generator<Buffer> {
    for (let at = 0; at < bytes; at += PIECE_BYTES) yield cipher.update(zeros)
  }
  await pipeline(Readable.from(pieces()), createWriteStream(path))
}

function cipherOf(seed: number): ReturnType<typeof createCipheriv> {
  const key = Buffer.alloc(16)
  key.writeUInt32BE(seed)
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16))
}
