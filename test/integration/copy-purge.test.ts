import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { codeOfRejection, read, startNode, until } from '../fixtures/nodes.ts'

const ROUNDS = 8
/** One block, and a file of several blocks with a manifest. */
const SIZES = [20_000, 1_500_000]

test('a copy of a file that is purged meanwhile either has all of its content, or says that the file is gone', async t => {
  const { node } = await startNode(t, { name: 'a' })
  const outcomes = new Set<string>()
  for (const size of SIZES)
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = randomBytes(size)
      await node.put('/a', bytes)
      const copying = codeOfRejection(node.copy('/a', '/b'))
      // The purge comes at another moment of the copy in each round.
      for (let turn = 0; turn < 2 * round; turn++) await new Promise(resolve => setImmediate(resolve))
      const purging = node.remove('/a', { purge: true })
      const [outcome] = await Promise.all([copying, purging])
      await node.gc()
      outcomes.add(outcome)
      if (outcome === 'resolved') assert.ok((await read(node, '/b')).equals(bytes), `round ${round}`)
      else assert.equal(outcome, 'not-found')
      if (outcome === 'resolved') await node.remove('/b', { purge: true })
    }
  assert.ok(outcomes.has('resolved'))
  await until('nothing is left', async () => {
    await node.gc()
    const { here } = await node.df()
    return here.live + here.versions + here.puts === 0
  })
  const { lostCount } = await node.fsck()
  assert.equal(lostCount, 0)
})
