import assert from 'node:assert/strict'
import { test } from 'node:test'
import { replaceFile } from '../../../src/disk/files.ts'
import { startOnDefaultPorts } from '../../../src/node/ports.ts'
import { utf8 } from '../../../src/util/bytes.ts'
import { PortTakenError } from '../../../src/wire/errors.ts'
import { FakeFiles } from '../../fixtures/fake-files.ts'

/** A node that remembers free ports, as far as the system can tell: it gives out the port 0 as often as asked. */
async function files(): Promise<FakeFiles> {
  const kept = new FakeFiles()
  await replaceFile(kept, 'ports.json', utf8(JSON.stringify({ tcp: 0, ws: 0 })))
  return kept
}

test('a node chooses its default ports again if another program takes one before the node listens', async () => {
  let starts = 0
  const listened = await startOnDefaultPorts(await files(), async listen => {
    if (++starts < 3) throw new PortTakenError(3000, undefined)
    return listen
  })
  assert.deepEqual(listened, ['/ip4/0.0.0.0/tcp/0', '/ip4/0.0.0.0/tcp/0/ws'])
})

test('a node gives up after three choices of its ports, and at once after any other error', async () => {
  let starts = 0
  const fail = (error: Error) => async (): Promise<void> => {
    starts++
    throw error
  }
  await assert.rejects(startOnDefaultPorts(await files(), fail(new PortTakenError(1, undefined))), PortTakenError)
  assert.equal(starts, 3)
  await assert.rejects(startOnDefaultPorts(await files(), fail(new RangeError('other'))), RangeError)
  assert.equal(starts, 4)
})

test('a machine that has only IPv6 addresses listens on these, and every other one on IPv4', async () => {
  const [loopback, ipv4, ipv6] = [
    { family: 'IPv4', internal: true },
    { family: 'IPv4', internal: false },
    { family: 'IPv6', internal: false }
  ] as const
  const listensOn = async (...infos: Array<typeof loopback | typeof ipv4 | typeof ipv6>): Promise<string[]> =>
    startOnDefaultPorts(
      await files(),
      async listen => listen,
      () => ({ lo: [loopback], eth0: infos })
    )
  assert.deepEqual(await listensOn(ipv6), ['/ip6/::/tcp/0', '/ip6/::/tcp/0/ws'])
  for (const infos of [[], [ipv4], [ipv4, ipv6]])
    assert.deepEqual(await listensOn(...infos), ['/ip4/0.0.0.0/tcp/0', '/ip4/0.0.0.0/tcp/0/ws'])
})
