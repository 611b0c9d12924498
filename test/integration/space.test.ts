import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { generateNetworkKey } from '../../src/index.ts'
import { startNode, until } from '../fixtures/nodes.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** The number of block files in a data directory. */
async function blockFiles(dataDir: string): Promise<number> {
  const names = await readdir(join(dataDir, 'blocks'), { recursive: true, withFileTypes: true })
  return names.filter(entry => entry.isFile()).length
}

test('a purged file leaves no block on any member, and a copy of it keeps its own', async t => {
  const networkKey = generateNetworkKey()
  const { node: a, options } = await startNode(t, { networkKey, name: 'attic' })
  const second = await startNode(t, { networkKey, name: 'cellar', bootstrap: [a.multiaddrs[0] as string] })
  await until('each counts on the other', async () => (await a.put('/first', randomBytes(1))).wanted === 2)
  const dirs = [options.dataDir as string, second.options.dataDir as string]
  const bytes = randomBytes(3 * MIB)
  await a.put('/f', bytes)
  await a.copy('/f', '/g')
  await until('both have all chunks', async () => (await Promise.all(dirs.map(blockFiles))).every(n => n >= 3))
  await a.remove('/f', { purge: true })
  assert.equal((await a.stat('/g')).size, 3 * MIB)
  await a.remove('/g', { purge: true })
  await until('no chunk is left', async () => (await Promise.all(dirs.map(blockFiles))).every(n => n === 0))
})
