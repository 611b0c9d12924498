import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { type MemberItem, parseNetworkKey } from '../../src/index.ts'
import { until } from '../fixtures/nodes.ts'
import { lacksTestbed, must, shell, TESTBED } from '../fixtures/shell.ts'

/** Prints the words of the network key that the keystore in a container holds. */
const WORDS = `import('/app/dist/index.js').then(async dfs => console.log(await dfs.readRecoveryWords({ dataDir: '/data' })))`

test('docker compose up: an invite lets two nodes in at the first, and the key of the network stays with that one', {
  skip: lacksTestbed,
  timeout: 900_000
}, async t => {
  const exports = await must([join(TESTBED, 'docker-up.sh')])
  const env = { ...process.env }
  for (const [, assignments] of exports.matchAll(/^export (.*)$/gm))
    for (const assignment of (assignments as string).split(' ')) {
      const [name, value] = assignment.split('=') as [string, string]
      env[name] = value
    }
  const builder = { ...env, DOCKER_HOST: 'unix:///tmp/testbed/build/docker.sock' }
  await must(['docker', 'build', '-q', '--network=host', '-t', 'dfs-node:local', '.'], { env: builder })
  await must(['bash', '-c', 'docker -H unix:///tmp/testbed/build/docker.sock save dfs-node:local | docker load'], {
    env
  })
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

  await must(['docker', 'compose', 'down', '-t', '20'], { env })
  await up()
  await agreed('node3')
  assert.equal(await inside('node1', 'sh', '-c', 'dfs cat /f | sha256sum'), written)
})
