import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { temporaryFolder, until } from '../fixtures/nodes.ts'
import { must, ROOT, shell } from '../fixtures/shell.ts'

const MODULES = join(ROOT, 'node_modules')

/** What a program in strict TypeScript may write. It is only compiled. */
const VERBS = `
import { createReadStream } from 'node:fs'
import { createNode, type DfsNode } from 'dfs-node'

await using node: DfsNode = await createNode({ dataDir: './data', found: true })
node.addEventListener('admitted', ({ detail }) => console.log(detail.peerId))
node.addEventListener('rejected', ({ detail }) => console.log(detail.reason))
await node.ready({ members: 1, signal: AbortSignal.timeout(1000) })
await node.put('/a', createReadStream('a'))
const { body } = await fetch('http://127.0.0.1')
if (body !== null) await node.put('/b', body)
if (await node.exists('/a')) node.createReadStream('/a').pipe(node.createWriteStream('/c'))
`

test('the packed package works in a clean home, as programs and as the library of the program in the README', {
  timeout: 600_000
}, async t => {
  const folder = await temporaryFolder(t)
  // npm passes its own configuration to what it runs, in the environment.
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|DFS_)/i.test(name)))
  const env = { ...clean, HOME: folder, PATH: `${dirname(process.execPath)}:${process.env['PATH']}` }
  await must(['npm', 'pack', '--pack-destination', folder], { env })
  const [tarball] = (await readdir(folder)).filter(name => name.endsWith('.tgz'))
  const listed = (await must(['tar', '-tzf', join(folder, tarball as string)])).trim().split('\n')
  for (const name of listed)
    assert.match(
      name,
      /^package\/(dist\/|README\.md|LICENSE|SECURITY\.md|package\.json)/,
      'only what is needed is packed'
    )
  const home = join(folder, 'program')
  await mkdir(home)
  await writeFile(join(home, 'package.json'), '{"type":"module"}')
  await must(['npm', 'install', '--no-audit', '--no-fund', join(folder, tarball as string)], { cwd: home, env })

  const dataDir = join(folder, 'data')
  const flags = [
    '--new',
    '--data-dir',
    dataDir,
    '--no-mdns',
    '--listen',
    '/ip4/127.0.0.1/tcp/0',
    '--api',
    '127.0.0.1:0',
    '--json'
  ]
  const daemon = spawn('npx', ['dfs-node', ...flags], {
    cwd: home,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true
  })
  t.after(() => process.kill(-(daemon.pid as number), 'SIGTERM'))
  let said = ''
  daemon.stdout.setEncoding('utf8').on('data', text => {
    said += text
  })
  await until('ready', async () => said.includes('"ready"'))
  await writeFile(join(home, 'file'), 'packed')
  const dfs = ['npx', '-p', 'dfs-node', 'dfs', '--data-dir', dataDir]
  await must([...dfs, 'put', 'file', '/file'], { cwd: home, env })
  assert.equal(await must([...dfs, 'cat', '/file'], { cwd: home, env }), 'packed')

  const [, program] = /^```ts\n(.*?)^```$/ms.exec(await readFile(join(ROOT, 'README.md'), 'utf8')) ?? []
  await writeFile(join(home, 'program.ts'), program as string)
  assert.equal(await must([process.execPath, 'program.ts'], { cwd: home, env }), 'hello')
  const requires = "console.log(typeof require('dfs-node').createNode)"
  assert.equal(await must([process.execPath, '--eval', requires], { cwd: home, env }), 'function\n')
  const options = [
    '--noEmit',
    '--strict',
    '--skipLibCheck',
    '--module',
    'nodenext',
    '--target',
    'es2024',
    // No DOM: a program for Node.js has none.
    '--lib',
    'es2024',
    '--exactOptionalPropertyTypes',
    '--noUncheckedIndexedAccess',
    '--types',
    'node'
  ]
  const types = ['--typeRoots', join(MODULES, '@types')]
  await writeFile(join(home, 'verbs.ts'), VERBS)
  await must([process.execPath, join(MODULES, 'typescript/bin/tsc'), ...options, ...types, 'program.ts', 'verbs.ts'], {
    cwd: home,
    env
  })
})

test('the programs say what to do on a Node that is too old', async t => {
  const old = (await shell(['bash', '-c', 'type -ap node'])).stdout
    .trim()
    .split('\n')
    .filter(path => path !== '' && !path.startsWith(MODULES))
  for (const path of old) {
    const version = (await shell([path, '--version'])).stdout.trim()
    if (Number(version.slice(1).split('.')[0]) >= 22) continue
    const { code, stderr } = await shell([path, join(ROOT, 'src/bin/dfs-node.js'), '--help'])
    assert.equal(code, 1)
    assert.match(stderr, /^dfs-node needs Node\.js 22\.18 or newer[^\n]*\n$/)
    t.diagnostic(`tried with ${version}`)
  }
})
