import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePath } from '../../src/format/path.ts'
import { plainTree } from '../fixtures/plain-tree.ts'
import { VerbWorld } from '../fixtures/verb-world.ts'

const SEEDS = process.env['DFS_LONG'] === '1' ? 3_000 : 20
/** To run some seeds again: the first, and how many. */
const [FIRST = 1, COUNT = SEEDS] = (process.env['DFS_SEEDS'] ?? '').split(',').filter(Boolean).map(Number)
/** Seeds a test, so that a failure names few of them. */
const SEEDS_AT_ONCE = 20

/**
 * Two members change one tree. At each of their reads any other verb of theirs may go on, and records of the other, or of
 * a third who keeps to no rule, may arrive. Each verb is judged by the trees that its member had meanwhile, which a plain
 * model computes from the records. At the end nothing that was acknowledged is lost, and both have the tree of the model.
 */
async function runSeed(seed: number): Promise<string[]> {
  const world = await VerbWorld.open(seed)
  await world.run()
  const faults = world.faults()
  const model = plainTree(world.records)
  const expected = model.nodes.map(({ path, kind }) => `${path} ${kind}`).sort()
  if (new Set(expected).size < expected.length) faults.push('two nodes have one path')
  for (const [i, { setup }] of world.members.entries()) {
    const shown = (await setup.listing()).map(line => line.split(' | ').slice(0, 2).join(' ')).sort()
    const [more, less] = [
      shown.filter(line => !expected.includes(line)),
      expected.filter(line => !shown.includes(line))
    ]
    if (more.length + less.length > 0) faults.push(`member ${i} shows ${more.join()} and not ${less.join()}`)
    for (const { path } of model.nodes)
      if ((await setup.tree.resolve(parsePath(path))) === undefined) faults.push(`member ${i} does not find ${path}`)
  }
  return faults.length === 0 ? [] : [`seed ${seed}: ${faults.join('\n')}\nafter\n${world.log.join('\n')}`]
}

for (let first = FIRST; first < FIRST + COUNT; first += SEEDS_AT_ONCE) {
  const last = Math.min(first + SEEDS_AT_ONCE, FIRST + COUNT) - 1
  test(`verbs that meet each other and remote records lose nothing and cover nothing unseen: seeds ${first} to ${last}`, {
    timeout: 600_000
  }, async () => {
    const failed: string[] = []
    for (let seed = first; seed <= last; seed++) failed.push(...(await runSeed(seed)))
    const all = failed.map(text => text.split('\n', 1)[0]).join('\n')
    assert.ok(failed.length === 0, `${failed.length} seeds failed:\n${all}\nThe first: ${failed[0]}`)
  })
}
