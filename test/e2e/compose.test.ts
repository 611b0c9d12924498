import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { lacksTestbed, must, shell, TESTBED } from '../fixtures/shell.ts'

test('docker compose up: three nodes, healthy without preparation', {
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
  t.after(() => shell(['docker', 'compose', 'down', '-v', '-t', '5'], { env }))
  await must(['docker', 'compose', 'up', '-d', '--wait', '--no-build'], { env })
  const inside = (node: string, script: string) =>
    must(['docker', 'compose', 'exec', '-T', node, 'sh', '-c', script], { env })
  const written = await inside(
    'node1',
    'head -c 3000000 /dev/urandom > /tmp/f && dfs put /tmp/f /f > /dev/null && sha256sum < /tmp/f'
  )
  assert.equal(await inside('node3', 'dfs cat /f | sha256sum'), written)
  assert.equal((await inside('node2', 'dfs peers')).trim().split('\n').length, 2)
  assert.match(await inside('node3', 'ls -l /keys/network.key'), /^-rw-------/)
  await assert.rejects(inside('node3', 'touch /keys/other'))
})
