import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { startDaemon } from '../../scripts/lib/daemon.ts'
import { type MemberItem, parseNetworkKey } from '../../src/index.ts'
import { dockerWithImage, lacksDocker } from '../fixtures/docker.ts'
import { temporaryFolder, until } from '../fixtures/nodes.ts'
import { must, ROOT, shell } from '../fixtures/shell.ts'

/** Prints the words of the network key that the keystore in a container holds. */
const WORDS = `import('/app/dist/index.js').then(async dfs => console.log(await dfs.readRecoveryWords({ dataDir: '/data' })))`

test('docker compose up: an invite lets two nodes in at the first, and the key of the network stays with that one', {
  skip: lacksDocker,
  timeout: 900_000
}, async t => {
  const { env, onHost } = await dockerWithImage()
  const up = () => must(['docker', 'compose', 'up', '-d', '--wait', '--no-build'], { env })
  const inside = (node: string, ...command: string[]) =>
    must(['docker', 'compose', 'exec', '-T', node, ...command], { env })
  const rolesAt = async (node: string): Promise<string[]> => {
    const members: MemberItem[] = JSON.parse(await inside(node, 'dfs', 'members', '--json'))
    return members
      .map(({ name, role, state, invite }) => `${name} ${role} ${state}${invite === null ? '' : ' by invite'}`)
      .sort()
  }
  const all = ['node1 admin in', 'node2 writer in by invite', 'node3 writer in by invite']
  const agreed = (node: string) =>
    until(`${node} knows all three`, async () => (await rolesAt(node)).join() === all.join())
  t.after(() => shell(['docker', 'compose', 'down', '-v', '-t', '5'], { env }))

  await up()
  for (const node of ['node1', 'node2', 'node3']) await agreed(node)
  assert.match(await inside('node3', 'ls', '-l', '/invites/writer.invite'), /^-rw-------/)
  await assert.rejects(inside('node3', 'touch', '/invites/other'))

  const words = (await inside('node1', 'node', '-e', WORDS)).trim()
  const key = Buffer.from(parseNetworkKey(words))
  const needles = [key, ...(['hex', 'base64', 'base64url'] as const).map(form => key.toString(form)), words]
  const holdsKey = async (node: string, ...folders: string[]): Promise<boolean> => {
    const script = 'find "$@" -type f -exec cat {} + | base64 -w0'
    const bytes = Buffer.from(await inside(node, 'sh', '-c', script, 'sh', ...folders), 'base64')
    assert.ok(bytes.byteLength > 0)
    return needles.some(needle => bytes.includes(needle))
  }
  assert.ok(await holdsKey('node1', '/data'), 'the search finds the key where it is')
  assert.ok(!(await holdsKey('node1', '/invites')), 'no key is on the volume that all share')
  for (const node of ['node2', 'node3']) assert.ok(!(await holdsKey(node, '/data', '/invites')), `${node} has no key`)

  const script = 'head -c 3000000 /dev/urandom > /tmp/f && dfs put /tmp/f /f > /dev/null && sha256sum < /tmp/f'
  const written = await inside('node2', 'sh', '-c', script)
  assert.equal(await inside('node3', 'sh', '-c', 'dfs cat /f | sha256sum'), written)

  const layers = await must(['docker', 'history', '--format', '{{.Size}} {{.CreatedBy}}', 'dfs-node:local'], { env })
  const [above = ''] = layers.split(/^.*WORKDIR \/app/m)
  const bytes = above.split('\n').reduce((sum, line) => sum + bytesIn(line), 0)
  assert.ok(bytes > 0 && bytes < ABOVE_BASE_BYTES_MAX, layers)

  await must(['docker', 'compose', 'down', '-t', '20'], { env })
  await up()
  await agreed('node3')
  assert.equal(await inside('node1', 'sh', '-c', 'dfs cat /f | sha256sum'), written)

  // The command that docker-compose.yml shows for a node on the host.
  const shown = /^# {3}(docker compose cp .*) && npx dfs-node (--join \S+ --bootstrap \S+)$/m
  const [, copy, flags] = shown.exec(await readFile(join(ROOT, 'docker-compose.yml'), 'utf8')) ?? []
  const folder = await temporaryFolder(t)
  const compose = ['docker', 'compose', '-f', join(ROOT, 'docker-compose.yml')]
  await must([...compose, ...(copy as string).split(' ').slice(2)], { env, cwd: folder })
  const [join_, file, bootstrap, address] = (flags as string).split(' ') as [string, string, string, string]
  const host = await startDaemon({
    name: 'host',
    dataDir: join(folder, 'data'),
    fromSource: true,
    prefix: [...onHost],
    args: [join_, join(folder, file), bootstrap, address, '--no-mdns']
  })
  t.after(() => host.stop())
  const dfs = [...onHost, process.execPath, join(ROOT, 'src/bin/dfs.js'), '--data-dir', join(folder, 'data')]
  await until('the host has the file', async () => (await shell([...dfs, 'stat', '/f'])).code === 0)
  assert.equal(await must(['sh', '-c', '"$@" | sha256sum', 'sh', ...dfs, 'cat', '/f']), written)
})

/** What runs, and nothing else, is less than 30 MB. */
const ABOVE_BASE_BYTES_MAX = 40e6

/** The bytes of a layer, whose line begins with a size such as `1.59MB`. */
function bytesIn(line: string): number {
  const [, number = '0', unit = 'B'] = /^([\d.]+)([kMG]?B)/.exec(line) ?? []
  return Number(number) * { B: 1, kB: 1e3, MB: 1e6, GB: 1e9 }[unit as 'B']
}
