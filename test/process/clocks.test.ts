import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startProcess } from '../fixtures/daemon-process.ts'
import { temporaryFolder, until } from '../fixtures/nodes.ts'
import { jsonLines, type Result, runProgram } from '../fixtures/program.ts'
import { ROOT } from '../fixtures/shell.ts'

const timeout = 400_000
const HOUR_MS = 60 * 60_000
/** Machines that are behind come first, because what a machine signs while it is ahead counts only later. */
const SHIFTS = [
  ['an hour behind', -HOUR_MS],
  ['a day behind', -24 * HOUR_MS],
  ['an hour ahead', HOUR_MS],
  ['a day ahead', 24 * HOUR_MS]
].filter((_, i) => process.env['DFS_LONG'] === '1' || i === 0 || i === 3) as [string, number][]

const dfs = (dataDir: string, ...args: string[]): Promise<Result> => runProgram('dfs', ['--data-dir', dataDir, ...args])

function shifted(ms: number): { env: NodeJS.ProcessEnv } {
  const preload = join(ROOT, 'test/fixtures/shift-clock.ts')
  return { env: { NODE_OPTIONS: `--import=${preload}`, DFS_TEST_CLOCK_SHIFT_MS: String(ms) } }
}

/** The warnings in the status of a node, and how many members it is connected to. */
async function statusOf(dataDir: string): Promise<{ peersConnected: number; warnings: string[] }> {
  return jsonLines(await dfs(dataDir, '--json', 'status'))[0] as unknown as {
    peersConnected: number
    warnings: string[]
  }
}

const OFF = /^this machine's clock is \d+ (min|h) (ahead of|behind) the clocks of most members: set it/m
const NEWCOMER_OFF = "this machine's clock is more than 5 minutes off the network's: set it, then start again"

interface Stage {
  attic: string
  address: string
  invite: string
  at: (name: string) => string
}

/** An admin and a writer whose clocks are right. */
async function setUp(t: TestContext): Promise<Stage> {
  const folder = await temporaryFolder(t)
  const at = (name: string): string => join(folder, name)
  const founder = startProcess(t, ['--data-dir', at('attic'), '--name', 'attic', '--new'])
  const { multiaddrs } = await founder.event('ready')
  const invite = at('all.invite')
  assert.equal((await dfs(at('attic'), 'invite', '--uses', 'unlimited', '--out', invite)).code, 0)
  await startProcess(t, ['--data-dir', at('shelf'), '--name', 'shelf', '--join', invite]).event('ready')
  await writeFile(at('file'), 'hello')
  return { attic: at('attic'), address: (multiaddrs as string[])[0] as string, invite, at }
}

test('a new machine whose clock is off is told so, by an invite and by approval', { timeout }, async t => {
  const { address, invite, at } = await setUp(t)
  for (const [name, ms] of SHIFTS)
    for (const args of [
      ['--join', invite],
      ['--bootstrap', address]
    ]) {
      const laptop = startProcess(t, ['--data-dir', at('laptop'), ...args], shifted(ms))
      assert.deepEqual([await laptop.exited, laptop.events], [4, []], `${name}: ${laptop.stderr}`)
      const { code, message } = JSON.parse(laptop.stderr.trim().split('\n').at(-1) as string)
      assert.deepEqual([code, message], ['clock-off', NEWCOMER_OFF], `${name} ${args[0]}`)
    }
})

test('a member whose clock is off says so and writes nothing, and works again once it is right', {
  timeout
}, async t => {
  const { attic, invite, at } = await setUp(t)
  const own = at('laptop')
  const first = startProcess(t, ['--data-dir', own, '--name', 'laptop', '--join', invite])
  await first.event('ready')
  assert.equal((await dfs(own, 'put', at('file'), '/before')).code, 0)
  await first.stop()
  for (const [name, ms] of SHIFTS) {
    const wrong = startProcess(t, ['--data-dir', own], shifted(ms))
    await wrong.event('ready')
    await until(`it says that its clock is ${name}`, async () =>
      (await statusOf(own)).warnings.some(text => OFF.test(text))
    )
    const refused = await dfs(own, 'put', at('file'), '/wrong')
    assert.deepEqual([refused.code, OFF.test(refused.stderr)], [4, true], `${name}: ${refused.stderr}`)
    assert.equal((await statusOf(own)).peersConnected, 2, name)
    // Existing files can be read, and the other members do not depend on this one.
    assert.equal((await dfs(own, 'cat', '/before')).stdout.toString(), 'hello', name)
    const put = await dfs(attic, 'put', at('file'), `/at ${name}`)
    assert.equal(put.code, 0, `${name}: ${put.stderr}`)
    const { warnings } = await statusOf(attic)
    assert.ok(!warnings.some(text => OFF.test(text)), name)
    // The status of a machine that is ahead waits at the others, and they say why.
    if (ms > 0) assert.match(warnings.join('\n'), /dated more than 5 minutes ahead .*clock is or was wrong/, name)
    await wrong.stop()
    const right = startProcess(t, ['--data-dir', own])
    await right.event('ready')
    await until('connected', async () => (await statusOf(own)).peersConnected === 2)
    const again = await dfs(own, 'put', at('file'), `/after ${name}`)
    assert.equal(again.code, 0, `${name}: ${again.stderr}`)
    assert.equal((await dfs(attic, 'cat', `/after ${name}`)).stdout.toString(), 'hello', name)
    assert.ok(!(await statusOf(own)).warnings.some(text => OFF.test(text)), name)
    await right.stop()
  }
})
