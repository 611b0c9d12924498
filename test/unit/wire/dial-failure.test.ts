import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { systemClock } from '../../../src/util/clock.ts'
import { withDeadline } from '../../../src/util/deadline.ts'
import { dialFailure, isDialToSelf } from '../../../src/wire/dial-failure.ts'
import { Libp2pHost } from '../../../src/wire/libp2p-host.ts'
import { silentLogger } from '../../fixtures/logger.ts'

async function startHost(t: TestContext): Promise<Libp2pHost> {
  const listen = ['/ip4/127.0.0.1/tcp/0']
  const host = await Libp2pHost.create({ logger: silentLogger, deviceSeed: randomBytes(32), listen })
  await host.start()
  t.after(() => host.stop())
  return host
}

async function serve(t: TestContext, answer: (socket: Socket) => void): Promise<string> {
  const server = createServer(socket => answer(socket.on('error', () => {})))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return `/ip4/127.0.0.1/tcp/${(server.address() as AddressInfo).port}`
}

test('a dial that fails says why: nobody listens, no such name, no answer, no node, another node', async t => {
  const host = await startHost(t)
  const other = await startHost(t)
  const failureAt = async (address: string, timeoutMs = 10_000): Promise<unknown> => {
    const dial = withDeadline(systemClock, timeoutMs, undefined, signal => host.dial([address], { signal }))
    return dial.then(
      () => undefined,
      error => error
    )
  }
  const why = async (address: string, timeoutMs?: number): Promise<string> =>
    dialFailure(await failureAt(address, timeoutMs))
  const free = await serve(t, socket => socket.end())
  assert.equal(await why('/ip4/127.0.0.1/tcp/1'), 'nothing listens there')
  assert.equal(await why('/dns/no-such-host.invalid/tcp/3000'), 'there is no such host name')
  assert.equal(await why(await serve(t, () => {}), 200), 'timed out')
  assert.equal(
    await why(await serve(t, socket => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))),
    'what answers there is no dfs-node'
  )
  assert.match(await why(free), /is no dfs-node/)
  const stranger = (await startHost(t)).peerId
  assert.match(await why(`${other.addresses()[0]}/p2p/${stranger}`), /another node than the one with this peer id/)
  assert.equal(isDialToSelf(await failureAt(host.addresses()[0] as string)), true)
  assert.equal(isDialToSelf(await failureAt('/ip4/127.0.0.1/tcp/1')), false)
})
