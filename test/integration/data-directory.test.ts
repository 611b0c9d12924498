import assert from 'node:assert/strict'
import { cp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Shown, shows, showsDeleted } from '../../scripts/lib/shows.ts'
import { clockFrom } from '../fixtures/clock.ts'
import { startNode, temporaryFolder } from '../fixtures/nodes.ts'

const KEPT = join(import.meta.dirname, '../vectors/data-directory')

interface Expected {
  madeAt: number
  peerId: string
  members: Array<{ name: string; role: string }>
  shown: Shown[]
  deleted: string[]
}

test('a data directory of the version in which the formats froze opens and shows what it showed, with its index and without', async t => {
  const expected = JSON.parse(await readFile(join(KEPT, 'shows.json'), 'utf8')) as Expected
  const dataDir = join(await temporaryFolder(t), 'attic')
  await cp(join(KEPT, 'attic'), dataDir, { recursive: true })
  // Versions end with time, so the clock goes on from when it was made.
  const clock = clockFrom(expected.madeAt + 60_000)
  for (const hasIndex of [true, false]) {
    if (!hasIndex) await rm(join(dataDir, 'index'), { recursive: true })
    const { node } = await startNode(t, { dataDir, clock, found: false, capacityBytes: 2 ** 40 })
    assert.equal(node.peerId, expected.peerId)
    assert.deepEqual(
      (await node.members()).map(({ name, role }) => ({ name, role })),
      expected.members
    )
    assert.deepEqual(await shows(node), expected.shown)
    assert.deepEqual(await showsDeleted(node), expected.deleted)
    const { checked, corrupt, lostCount } = await node.fsck({ readData: true })
    assert.deepEqual([checked > 5, corrupt, lostCount], [true, 0, 0])
    await node.restore('/removed')
    await node.remove('/removed')
    await node.stop()
  }
})
