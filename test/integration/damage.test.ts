import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { ClassicLevel } from 'classic-level'
import { TABLES } from '../../src/disk/tables.ts'
import { generateNetworkKey, type NodeOptions } from '../../src/index.ts'
import { fastClock } from '../fixtures/clock.ts'
import { allConnected, codeOfRejection, read, startNode, temporaryFolder, until } from '../fixtures/nodes.ts'

/** The paths of the files that hold larger blocks. */
async function blockFiles(dataDir: string): Promise<string[]> {
  const names = await readdir(join(dataDir, 'blocks'), { recursive: true })
  return names.filter(name => /[0-9a-f]{68}$/.test(name)).map(name => join(dataDir, 'blocks', name))
}

test('a file that is put again over a block cut to nothing is whole again', { timeout: 60_000 }, async t => {
  const { node, options } = await startNode(t)
  const bytes = randomBytes(300_000)
  await node.put('/f', bytes)
  for (const file of await blockFiles(options.dataDir)) await truncate(file, 0)
  await node.put('/f', bytes)
  assert.deepEqual(await read(node, '/f'), bytes)
})

test('a file that is put again over a rotten block that a read has met is whole again, and status says so', {
  timeout: 60_000
}, async t => {
  const { node, options } = await startNode(t)
  const bytes = randomBytes(300_000)
  await node.put('/f', bytes)
  for (const file of await blockFiles(options.dataDir)) {
    const content = await readFile(file)
    content[1_000]! ^= 1
    await writeFile(file, content)
  }
  assert.equal(await codeOfRejection(read(node, '/f')), 'corrupt')
  assert.match((await node.status()).warnings.join(), /\(1, still bad: 1\)/)
  await node.put('/f', bytes)
  assert.deepEqual(await read(node, '/f'), bytes)
  assert.match((await node.status()).warnings.join(), /\(1, still bad: 0\)/)
})

test('a member whose copy was cut short pulls the block again before it says that it keeps it', {
  timeout: 60_000
}, async t => {
  const dataDir = await temporaryFolder(t)
  const first = await startNode(t, { networkKey: generateNetworkKey() })
  const { networkKey } = first.options
  const second = await startNode(t, { networkKey, dataDir, bootstrap: [first.node.multiaddrs[0]!] } as NodeOptions)
  await allConnected([first.node, second.node])
  const bytes = randomBytes(300_000)
  await first.node.put('/f', bytes, { ack: 2 })
  const [file] = await blockFiles(dataDir)
  await truncate(file!, 0)
  const { reached } = await first.node.put('/g', bytes, { ack: 2 })
  assert.equal(reached.length, 2)
  const whole = await readFile((await blockFiles(first.options.dataDir))[0]!)
  assert.deepEqual(await readFile(file!), whole)
})

/** Removes the rows of a table from the index of a node that has stopped, as LevelDB does after a flipped bit. */
async function loseTable(dataDir: string, letter: string, { isUnclean = false } = {}): Promise<number> {
  const level = new ClassicLevel<Uint8Array, Uint8Array>(join(dataDir, 'index'), {
    keyEncoding: 'view',
    valueEncoding: 'view'
  })
  await level.open()
  const next = String.fromCharCode(letter.charCodeAt(0) + 1)
  const keys = await level.keys({ gte: Buffer.from(letter), lt: Buffer.from(next) }).all()
  await level.batch(keys.map(key => ({ type: 'del', key })))
  if (isUnclean) await level.del(Buffer.from('mclean'))
  await level.close()
  return keys.length
}

for (const table of ['statements', 'claims', 'entries', 'children', 'names', 'records', 'seen'] as const) {
  test(`an index that loses its table of ${table} is rebuilt, and no file is lost`, { timeout: 60_000 }, async t => {
    const { node, options, events } = await startNode(t)
    const bytes = randomBytes(100_000)
    await node.put('/d/f', Buffer.from('before'))
    await node.put('/d/f', bytes)
    await node.stop()
    assert.ok((await loseTable(options.dataDir, TABLES[table], { isUnclean: true })) > 0)
    // Hours of its clock pass, so leaf checks and sweeps run.
    const again = await startNode(t, { ...options, clock: fastClock(2_000) })
    await until('rebuilt', async () => events.some(({ event }) => event === 'rebuilt'))
    await until('all is there again', async () => (await read(again.node, '/d/f')).equals(bytes))
    assert.equal(events.filter(({ event }) => event === 'rebuilt').length, 1, 'once')
    await again.node.stop()
  })
}
