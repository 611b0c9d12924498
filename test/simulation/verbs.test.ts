import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePath } from '../../src/format/path.ts'
import { plainTree } from '../fixtures/plain-tree.ts'
import { VerbWorld } from '../fixtures/verb-world.ts'

/** Seeds that once found a fault, of the catalog or of the model. They run each time. */
const PAST_SEEDS: readonly number[] = [30, 44, 121, 151, 285, 294, 320, 662, 724, 867, 1015, 1053, 1137]
const SEEDS = process.env['DFS_LONG'] === '1' ? 3_000 : 20
/** Set these to run some seeds again: the first one, and how many. */
const ONLY = process.env['DFS_SEEDS']
const [FIRST = 1, COUNT = SEEDS] = (ONLY ?? '').split(',').filter(Boolean).map(Number)
/** The number of seeds in one test, so that a failure names only a few. */
const SEEDS_AT_ONCE = 20

/**
 * Two members change one tree. At each read of a verb, other verbs of the same member may go on, and records may arrive
 * from the other member or from a third one that follows no rules. Each verb is judged by the trees that its member had
 * while it ran, which a plain model computes from the records. At the end nothing that was acknowledged is lost, and
 * both members have the tree of the model.
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

async function assertAll(seeds: readonly number[]): Promise<void> {
  const failed: string[] = []
  for (const seed of seeds) failed.push(...(await runSeed(seed)))
  const all = failed.map(text => text.split('\n', 1)[0]).join('\n')
  assert.ok(failed.length === 0, `${failed.length} seeds failed:\n${all}\nThe first: ${failed[0]}`)
}

const NAME = 'verbs that meet each other and remote records lose nothing and cover nothing unseen'
for (let first = FIRST; first < FIRST + COUNT; first += SEEDS_AT_ONCE) {
  const seeds = Array.from({ length: Math.min(SEEDS_AT_ONCE, FIRST + COUNT - first) }, (_, i) => first + i)
  test(`${NAME}: seeds ${first} to ${seeds.at(-1)}`, { timeout: 600_000 }, () => assertAll(seeds))
}

test(`${NAME}: seeds of past faults`, { timeout: 600_000, skip: ONLY !== undefined }, () => assertAll(PAST_SEEDS))
