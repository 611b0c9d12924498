import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type DaemonProcess, startProcess } from '../fixtures/daemon-process.ts'
import { temporaryFolder } from '../fixtures/nodes.ts'
import { runProgram } from '../fixtures/program.ts'
import { until } from '../fixtures/until.ts'

const SHIFT = join(import.meta.dirname, '../fixtures/shift-clock.ts')
const YEAR_MS = 365 * 24 * 3_600_000

async function warnings(dataDir: string): Promise<string> {
  const { stdout } = await runProgram('dfs', ['--data-dir', dataDir, '--json', 'status'])
  return (JSON.parse(stdout.toString()) as { warnings: string[] }).warnings.join('\n')
}

/** Starts a machine that has met attic before, with its clock wrong by some years. */
async function startAgain(t: TestContext, args: readonly string[], years: number): Promise<DaemonProcess> {
  const env = { NODE_OPTIONS: `--import=${SHIFT}`, DFS_TEST_CLOCK_SHIFT_MS: String(years * YEAR_MS) }
  const daemon = startProcess(t, args, { env })
  await daemon.event('ready')
  return daemon
}

test('a machine whose clock is twenty years behind or ahead still connects, and both sides are told by how much', {
  timeout: 300_000
}, async t => {
  const folder = await temporaryFolder(t)
  const [attic, pi, key] = [join(folder, 'attic'), join(folder, 'pi'), join(folder, 'key')]
  const ready = await startProcess(t, [
    '--data-dir',
    attic,
    '--name',
    'attic',
    '--new',
    '--network-key-file',
    key
  ]).event('ready')
  const [bootstrap] = ready['multiaddrs'] as string[]
  const args = ['--data-dir', pi, '--name', 'pi', '--network-key-file', key, '--bootstrap', bootstrap as string]
  const before = startProcess(t, args)
  await before.event('ready')
  await before.stop()
  for (const [years, atPi, atAttic] of [
    [-20, /the clock of attic \(…\w{8}\) is 20 years ahead of/, /the clock of pi \(…\w{8}\) is 20 years behind/],
    [20, /the clock of attic \(…\w{8}\) is 20 years behind/, /the clock of pi \(…\w{8}\) is 20 years ahead of/]
  ] as const) {
    const daemon = await startAgain(t, args, years)
    await until('pi is told', async () => atPi.test(await warnings(pi)))
    await until('attic is told', async () => atAttic.test(await warnings(attic)))
    const put = await runProgram('dfs', ['--data-dir', pi, 'put', join(folder, 'key'), `/put-${years}`])
    // A machine whose clock is behind cannot sign anything later than its grant, so it refuses to, and says why.
    assert.match(
      put.stderr,
      years < 0 ? /set the clock if it is wrong/ : /^warning: the clock of attic .* is 20 years behind/
    )
    await daemon.stop()
  }
})
