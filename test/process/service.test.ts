import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryFolder } from '../fixtures/nodes.ts'
import { must, ROOT, shell } from '../fixtures/shell.ts'

const DFS = [process.execPath, join(ROOT, 'src/bin/dfs.js')]

test('dfs service prints a unit with real paths, in which odd names are quoted as systemd reads them', async t => {
  const dataDir = join(await temporaryFolder(t), 'my "data" 100% $HOME')
  const unit = await must([...DFS, '--data-dir', dataDir, 'service', '--', '--capacity', '500GB'])
  const program = join(ROOT, 'src/bin/dfs-node.js')
  const quoted = `"${dataDir.replaceAll('"', '\\"').replace('%', '%%').replace('$', '$$$$')}"`
  assert.ok(unit.includes(`\nExecStart=${process.execPath} ${program} --data-dir ${quoted} --capacity 500GB\n`), unit)
  const file = join(await temporaryFolder(t), 'dfs-node.service')
  await writeFile(file, unit)
  const { code, stderr } = await shell([
    'sh',
    '-c',
    'command -v systemd-analyze || exit 0; systemd-analyze verify "$1"',
    'sh',
    file
  ])
  assert.equal(code, 0, stderr)
})

test('dfs service refuses to name a copy of the program that npm may remove', async t => {
  const folder = join(await temporaryFolder(t), '_npx')
  await mkdir(folder)
  await must(['cp', '-r', join(ROOT, 'src'), join(ROOT, 'package.json'), folder])
  await must(['ln', '-s', join(ROOT, 'node_modules'), folder])
  const { code, stderr } = await shell([process.execPath, join(folder, 'src/bin/dfs.js'), 'service'])
  assert.equal(code, 1)
  assert.match(stderr, /npm install --global dfs-node/)
})
