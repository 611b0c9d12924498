import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setUpDfs } from '../../fixtures/dfs.ts'
import { WORDS } from '../../fixtures/fake-node.ts'
import { jsonLines } from '../../fixtures/program.ts'
import { hasTerminal, runOnTerminal } from '../../fixtures/terminal.ts'

test('network shows its words, its id, the number of members, and whether the key is here', async t => {
  const { node, dfs } = await setUpDfs(t)
  const facts = { network: '00'.repeat(32), words: WORDS, role: 'admin', members: 1, holdsKey: false }
  assert.equal((await dfs(['network'])).stdout.toString(), `${WORDS}\n  ${facts.network}\n  1 member\n`)
  assert.deepEqual(jsonLines(await dfs(['--json', 'network'])), [facts])
  node.hooks.networkInfo = async () => ({ ...facts, members: 12, holdsKey: true })
  const lines = (await dfs(['network'])).stdout.toString().trimEnd().split('\n')
  assert.deepEqual(lines.slice(2), ['  12 members', '  this machine holds the network key'])
})

test('the recovery words do not travel through the API, and a machine without the key says so without a terminal too', async t => {
  const { dfs, url, folder } = await setUpDfs(t)
  const piped = await dfs(['network', 'recovery'])
  assert.deepEqual(
    [piped.code, piped.stdout.toString(), piped.stderr],
    [3, '', 'this machine does not hold the network key: only the founder does, until it forgets it\n']
  )
  assert.equal((await dfs(['--json', 'network', 'recovery'])).code, 2)
  const byAddress = await dfs(['--api', url.origin, '--token-file', 'token', 'network', 'recovery'], { cwd: folder })
  assert.deepEqual([byAddress.code, byAddress.stdout.toString()], [2, ''])
})

test('recovery says so if this machine does not hold the network key', async t => {
  if (!hasTerminal) return t.skip('needs the script command of util-linux')
  const { dataDir } = await setUpDfs(t)
  const terminal = runOnTerminal(t, 'dfs', ['--data-dir', dataDir, 'network', 'recovery'])
  assert.equal(await terminal.ended, 3)
  assert.match(terminal.text, /this machine does not hold the network key: only the founder does/)
})
