import assert from 'node:assert/strict'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { defaultDataDir, knownDataDir } from '../../../src/terminal/data-dir.ts'

const skip = process.platform === 'linux' ? false : 'the places of other systems differ'

test('the default data directory is below whole paths of the environment only', { skip }, () => {
  const own = join(userInfo().homedir, '.local', 'share', 'dfs-node')
  assert.equal(defaultDataDir({ HOME: '/home/ann' }), '/home/ann/.local/share/dfs-node')
  assert.equal(defaultDataDir({ HOME: '/home/ann', XDG_DATA_HOME: '/data' }), '/data/dfs-node')
  for (const env of [{}, { HOME: '' }, { HOME: 'rel' }, { HOME: '', XDG_DATA_HOME: 'rel' }])
    assert.equal(defaultDataDir(env), own, JSON.stringify(env))
  assert.equal(
    defaultDataDir({ HOME: '/home/ann', XDG_DATA_HOME: 'rel' }),
    '/home/ann/.local/share/dfs-node',
    'a relative folder would be another one in each place'
  )
})

test('without a home folder a data directory has to be named, which is a usage error that says so', () => {
  assert.throws(() => knownDataDir(undefined), { code: 'usage', message: /no home folder.*--data-dir.*HOME/ })
  assert.equal(knownDataDir('/x'), '/x')
})
