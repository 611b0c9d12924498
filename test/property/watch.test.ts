import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatPath, type Path, parsePath } from '../../src/format/path.ts'
import type { AcceptedStatement } from '../../src/log/projection.ts'
import type { Chance } from '../../src/util/chance.ts'
import { seededChance } from '../fixtures/seeded-chance.ts'
import { WatchedTree } from '../fixtures/watched-tree.ts'
import { admin, contentOf, otherWriter, Setup, writer } from '../unit/catalog/setup.ts'
import { catchUp, listed } from '../unit/catalog/watching.ts'

const NAMES = ['a', 'b', 'c.txt', 'd']
/** 300 with `DFS_LONG=1`, as `npm run test:long` sets it; else few enough for every day. */
const SEEDS = process.env['DFS_LONG'] === '1' ? 300 : 20
/** Seeds that have failed. */
const FOUND = [223, 525, 1269]
const STEPS = 120

function pick<T>(chance: Chance, items: readonly T[]): T {
  return items[Math.floor(chance.fraction() * items.length)] as T
}

/** Makes one random change to the tree of a member. A change that the catalog refuses has no effect. */
async function change({ catalog, clock }: Setup, chance: Chance, n: number, odd: readonly Path[]): Promise<void> {
  const path = (): Path =>
    odd.length > 0 && chance.fraction() < 0.3
      ? pick(chance, odd)
      : Array.from({ length: 1 + Math.floor(chance.fraction() * 3) }, () => pick(chance, NAMES))
  clock.advance(1 + Math.floor(chance.fraction() * 20))
  const draw = chance.fraction()
  try {
    if (draw < 0.45) await catalog.link(path(), contentOf('x'.repeat(1 + (n % 900))), { replicas: 1 })
    else if (draw < 0.6) await catalog.mkdir(path(), 1)
    else if (draw < 0.85) await catalog.move(path(), path(), { replicas: 1, noClobber: chance.fraction() < 0.5 })
    else await catalog.remove(path(), { recursive: chance.fraction() < 0.8 })
  } catch (error) {
    assert.equal(typeof (error as { code?: unknown }).code, 'string', String(error))
  }
}

/** Members that pass each other's records on in any order, some of them twice, in batches of any size. */
class Cluster {
  readonly members: Setup[] = []
  readonly #chance: Chance
  readonly #outboxes = new Map<Setup, AcceptedStatement[]>()

  constructor(chance: Chance) {
    this.#chance = chance
  }

  async open(): Promise<void> {
    for (const [i, self] of [admin, writer, otherWriter].entries()) {
      const member = await Setup.open({ self, seed: Math.floor(this.#chance.fraction() * 1e9) + i })
      this.#outboxes.set(member, [])
      this.members.push(member)
    }
  }

  /** `odd` are paths that are used too. */
  async act(member: Setup, n: number, odd: readonly Path[]): Promise<void> {
    member.onProjected = items => {
      for (const [other, outbox] of this.#outboxes) if (other !== member) outbox.push(...items)
    }
    await change(member, this.#chance, n, odd)
    member.onProjected = undefined
  }

  /** Gives a member some of what the others have made, or all of it. */
  async deliver(member: Setup, all = false): Promise<void> {
    const outbox = this.#outboxes.get(member) as AcceptedStatement[]
    let left = all ? outbox.length : Math.floor(this.#chance.fraction() * Math.min(outbox.length, 12))
    while (left > 0) {
      const size = Math.min(left, 1 + Math.floor(this.#chance.fraction() * 6))
      const batch: AcceptedStatement[] = []
      for (let i = 0; i < size; i++) {
        const at = this.#chance.fraction() < 0.6 ? 0 : Math.floor(this.#chance.fraction() * outbox.length)
        const [item] = outbox.splice(at, 1)
        batch.push({ ...(item as AcceptedStatement), arrivedAtMs: member.clock.now() })
      }
      if (this.#chance.fraction() < 0.1) batch.push(batch[0] as AcceptedStatement)
      await member.project(batch)
      left -= size
    }
  }
}

test('a program that applies the events of a watch has what a listing shows', async () => {
  for (const seed of seeds(FOUND)) await watchOne(seed, { usesConflicts: false })
})

test('the same, where members that do not know of a conflict give other entries its name', async () => {
  for (const seed of seeds([])) await watchOne(seed, { usesConflicts: true })
})

function seeds(found: readonly number[]): Set<number> {
  return new Set([...Array.from({ length: SEEDS }, (_, i) => i + 1), ...found])
}

async function watchOne(seed: number, { usesConflicts }: { usesConflicts: boolean }): Promise<void> {
  const chance = seededChance(seed)
  const cluster = new Cluster(chance)
  await cluster.open()
  const watched = cluster.members[0] as Setup
  const conflicts: Path[] = []
  const trees = [
    { path: [] as Path, options: { recursive: true }, tree: new WatchedTree() },
    { path: ['a'], options: { recursive: true }, tree: new WatchedTree() },
    { path: [] as Path, options: { recursive: false }, tree: new WatchedTree() },
    { path: ['a', 'b'], options: { recursive: false }, tree: new WatchedTree() }
  ]
  for (const one of trees) await catchUp(watched, one.tree, one)
  for (let n = 0; n < STEPS; n++) {
    const member = pick(chance, cluster.members)
    if (chance.fraction() < 0.6) await cluster.act(member, n, conflicts)
    else await cluster.deliver(member)
    if (chance.fraction() < 0.15) {
      const one = pick(chance, trees)
      await catchUp(watched, one.tree, { ...one, max: 1 + Math.floor(chance.fraction() * 30) })
      if (usesConflicts)
        for (const { change, path } of one.tree.events) if (change === 'conflict') conflicts.push(parsePath(path))
    }
  }
  for (const member of cluster.members) await cluster.deliver(member, true)
  for (const { tree, path, options } of trees) {
    await catchUp(watched, tree, { path, options })
    const expected = await listed(watched, path, options.recursive)
    assert.deepEqual(tree.lines, expected, `seed ${seed}, ${formatPath(path)} ${options.recursive}`)
  }
}
