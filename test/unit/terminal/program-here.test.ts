import assert from 'node:assert/strict'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { programHere } from '../../../src/terminal/program-here.ts'
import { temporaryFolder } from '../../fixtures/temporary-folder.ts'

test('the printed command works on the machine where it is printed', async t => {
  const folder = await temporaryFolder(t)
  const bin = join(folder, 'app/dist/bin')
  const path = join(folder, 'usr/bin')
  for (const made of [bin, path, join(folder, 'other')]) await mkdir(made, { recursive: true })
  await writeFile(join(bin, 'dfs.js'), '')
  await writeFile(join(folder, 'other/dfs'), 'of somebody else')
  await symlink(join(bin, 'dfs.js'), join(path, 'dfs'))
  const other = join(folder, 'other')
  assert.equal(
    programHere('dfs', { env: { PATH: `${other}:${path}` }, bin }),
    'dfs',
    'in a container, or installed globally'
  )
  assert.equal(
    programHere('dfs', { env: { PATH: other }, bin }),
    `node ${join(bin, 'dfs.js')}`,
    'from a folder that is on no PATH'
  )
  assert.equal(programHere('dfs', { env: { PATH: path, npm_command: 'exec' }, bin }), 'npx -p dfs-node dfs', 'by npx')
  assert.equal(
    programHere('dfs', { env: {}, bin: '/root/.npm/_npx/0a/node_modules/dfs-node/dist/bin' }),
    'npx -p dfs-node dfs'
  )
  assert.equal(programHere('dfs-node', { env: { npm_command: 'exec' }, bin }), 'npx dfs-node')
})
