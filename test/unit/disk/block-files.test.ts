import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BlockFiles } from '../../../src/disk/block-files.ts'
import { DiskError } from '../../../src/disk/errors.ts'
import { nameBlock } from '../../../src/format/cid.ts'
import { openStore } from '../../fixtures/disk-store.ts'
import { FakeFiles } from '../../fixtures/fake-files.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const bytes = Buffer.alloc(70_000, 7)
const cid = nameBlock(bytes)
const FOLDER = `blocks/${Buffer.from(cid.multihash.bytes).toString('hex').slice(-2)}`
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** Delays every sync of the block's folder until the test allows it. */
function holdSync(files: FakeFiles): { goOn: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  const syncDirectory = files.syncDirectory.bind(files)
  files.syncDirectory = async path => {
    if (path === FOLDER) await promise
    await syncDirectory(path)
  }
  return { goOn: resolve }
}

for (const question of ['has', 'sizeOf'] as const) {
  test(`${question} says that a block is present once a power cut would leave it, and not before`, async () => {
    const files = new FakeFiles()
    const { blocks } = await openStore(files)
    const { goOn } = holdSync(files)
    const putting = blocks.put(cid, bytes)
    while (![...files.contents().keys()].some(path => path.startsWith(`${FOLDER}/`))) await turn()
    let answer: unknown
    const asking = blocks[question](cid).then(given => {
      answer = given
    })
    for (let i = 0; i < 20; i++) await turn()
    assert.equal(answer, undefined)
    goOn()
    await Promise.all([putting, asking])
    assert.equal(answer, question === 'has' ? true : bytes.byteLength)
    assert.ok(await (await openStore(files.crash())).blocks.has(cid))
  })
}

test('a block does not count as durable if its name was not synced and could not be removed', async () => {
  let broken: string[] = []
  const files = new FakeFiles({
    before: ({ name, path }) => {
      if (broken.includes(name) && path.startsWith(FOLDER)) throw new DiskError('the disk reported EIO')
    }
  })
  const blockFiles = new BlockFiles(files, seededChance(1), silentLogger)
  await blockFiles.open()
  const { bytes: multihash } = cid.multihash
  broken = ['syncDirectory', 'remove']
  for (let i = 0; i < 2; i++) await assert.rejects(blockFiles.put(multihash, [bytes]), DiskError)
  await assert.rejects(blockFiles.has(multihash), DiskError)
  broken = []
  await blockFiles.put(multihash, [bytes])
  const after = new BlockFiles(files.crash(), seededChance(1), silentLogger)
  await after.open()
  assert.ok(await after.has(multihash))
})
