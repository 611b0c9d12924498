import assert from 'node:assert/strict'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { parsePath } from '../../src/format/path.ts'
import { putFile } from '../../src/fs/put.ts'
import { generateNetworkKey } from '../../src/index.ts'
import { listing, read, startNode, temporaryFolder } from '../fixtures/nodes.ts'
import { startRooms } from '../fixtures/stack.ts'

/** More than one append of a recursive removal deletes. */
const FILES = 264
const pathOf = (i: number): string => `/d/${i % 3}/file ${i}`

test('a machine that dies in the middle of a recursive removal restores after its start all that was removed', async t => {
  const dataDir = await temporaryFolder(t)
  const networkKey = generateNetworkKey()
  const { fs } = await startRooms(t, { dataDir, networkKey })
  await Promise.all(
    Array.from({ length: FILES }, (_, i) => putFile(fs, parsePath(pathOf(i)), [Buffer.from(`text ${i}`)]))
  )
  // The directory as a killed process would leave it, after each append of the removal.
  const left: string[] = []
  const onAppended = async (): Promise<void> => {
    if (left.length > 1) return
    const copy = join(await temporaryFolder(t), 'data')
    await cp(dataDir, copy, { recursive: true })
    left.push(copy)
  }
  await fs.catalog.remove(parsePath('/d'), { recursive: true, onAppended })
  const [first] = left as [string]
  assert.ok(left.length > 1, 'the removal took several appends')

  const { node } = await startNode(t, { dataDir: first, networkKey })
  const before = (await listing(node)).filter(line => !line.endsWith('/')).length
  assert.ok(before > 0 && before < FILES, 'it was in the middle')
  let files = 0
  for await (const soFar of node.restoring('/d')) {
    assert.ok(soFar.files >= files)
    files = soFar.files
  }
  assert.equal(files, FILES - before)
  assert.equal((await listing(node)).filter(line => !line.endsWith('/')).length, FILES)
  for (const i of [0, 150, FILES - 1]) assert.equal((await read(node, pathOf(i))).toString(), `text ${i}`)
})
