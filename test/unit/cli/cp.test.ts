import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setUpDfs } from '../../fixtures/dfs.ts'
import { Fault } from '../../fixtures/fake-node.ts'
import { jsonLines } from '../../fixtures/program.ts'

test('cp says nothing if all went well, and as JSON what it has copied', async t => {
  const { node, dfs } = await setUpDfs(t)
  node.hooks.copying = async function* (from, to) {
    yield { from, path: to, copied: 7 }
    yield { from, path: to, copied: 1_200 }
  }
  const { code, stdout, stderr } = await dfs(['cp', '/a', '/b', '--no-clobber'])
  assert.deepEqual([code, stdout.toString(), stderr], [0, '', ''])
  assert.deepEqual(
    node.calls.map(({ call, options }) => [call, (options as { noClobber?: boolean }).noClobber]),
    [['copying /a /b', true]]
  )
  assert.deepEqual(jsonLines(await dfs(['--json', 'cp', '/a', '/b'])), [{ from: '/a', path: '/b', copied: 1_200 }])
  node.hooks.copying = async function* (from, to) {
    yield { from, path: to, copied: 7 }
    throw new Fault('no-space', 'the disk is full; 7 of its files and directories have been copied, and stay')
  }
  const full = await dfs(['cp', '/a', '/b'])
  assert.deepEqual([full.stdout.toString(), full.stderr.includes('7 of its files')], ['', true])
  assert.notEqual(full.code, 0)
})
