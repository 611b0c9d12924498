import assert from 'node:assert/strict'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { generateNetworkKey } from '../../src/index.ts'
import { LOCAL } from '../fixtures/daemon-process.ts'
import { runProgram } from '../fixtures/program.ts'
import { temporaryFolder } from '../fixtures/temporary-folder.ts'

/** A secret that a person types where the name of its file belongs. */
const TYPED = 'correct horse battery staple'
const HEX = Buffer.from(generateNetworkKey()).toString('hex')

const DAEMON: Array<[string[], string, number]> = [
  [['--new', '--passphrase-file', TYPED], TYPED, 3],
  [['--new', `--passphrase-file=${TYPED}`], TYPED, 3],
  [['--new', `--passphrase=${TYPED}`], TYPED, 2],
  [['--new', '--network-key-file', HEX], HEX, 2],
  [['--network-key-file', TYPED], TYPED, 3],
  [['--join', TYPED], TYPED, 3],
  [['--join', `dfsinvite1.${HEX}`], HEX, 2],
  [['--recover', ...TYPED.split(' ')], 'battery', 2],
  [[`--recover=${TYPED}`], 'battery', 2]
]
const DFS: Array<[string[], string, number]> = [
  [['--api', 'http://127.0.0.1:1', '--token-file', TYPED, 'status'], TYPED, 3],
  [['network', 'recovery', ...TYPED.split(' ')], 'battery', 2]
]

test('a secret that is typed in place of its file name is never repeated, and never becomes the name of a file', async t => {
  const folder = await temporaryFolder(t)
  const dataDir = join(folder, 'data')
  for (const [i, [args, secret, code]] of DAEMON.entries()) {
    const json = i % 2 === 0 ? [] : ['--json']
    const result = await runProgram('dfs-node', ['--data-dir', dataDir, ...LOCAL, ...json, ...args], { cwd: folder })
    const said = result.stderr + result.stdout.toString()
    assert.equal(result.code, code, `${args[0]}: ${said}`)
    assert.ok(!said.includes(secret), said)
    assert.match(result.stderr, /^[^\n]+\n$/, 'it says one line')
  }
  for (const [args, secret, code] of DFS) {
    const result = await runProgram('dfs', args, { cwd: folder, env: { DFS_DATA_DIR: dataDir } })
    assert.equal(result.code, code, `${args[0]}: ${result.stderr}`)
    assert.ok(!result.stderr.includes(secret), result.stderr)
  }
  assert.deepEqual(await readdir(folder), [])
})

test('a folder where a file with a secret should be is called a folder, whatever its mode is', async t => {
  const folder = await temporaryFolder(t)
  const there = join(folder, 'there')
  await mkdir(there, { mode: 0o755 })
  for (const flag of ['--join', '--passphrase-file', '--network-key-file', '--invite-out']) {
    const args = ['--data-dir', join(folder, 'data'), ...LOCAL, ...(flag === '--join' ? [] : ['--new']), flag, there]
    const { code, stderr } = await runProgram('dfs-node', args)
    assert.deepEqual(
      [code, /^--[a-z-]+: this is a folder: name a file that holds an? [a-z ]+\n$/.test(stderr)],
      [2, true],
      stderr
    )
  }
})
