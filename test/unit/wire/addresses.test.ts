import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { peerIdOf } from '../../../src/format/peer-id.ts'
import { checkListen, checkPort, dialTargets, parseAddress, portOf } from '../../../src/wire/addresses.ts'
import { Libp2pHost } from '../../../src/wire/libp2p-host.ts'
import { holderOfPort } from '../../../src/wire/port-holder.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { temporaryFolder } from '../../fixtures/temporary-folder.ts'

const [one, two] = [peerIdOf(Buffer.alloc(32, 1)), peerIdOf(Buffer.alloc(32, 2))] as [string, string]

test('addresses are parsed, and nonsense is refused with an example of an address', () => {
  assert.equal(portOf('/ip4/127.0.0.1/tcp/3000'), 3000)
  assert.equal(portOf('/dns4/example.org/tcp/443/tls/ws'), 443)
  assert.equal(portOf('/memory/x'), undefined)
  for (const text of ['', 'localhost:3000', '/ip4/300.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/99999', '/nothing/1'])
    assert.throws(() => parseAddress(text), { name: 'InvalidInputError', message: /reads like/ }, text)
})

test('addresses that lead to another peer are not dialled', () => {
  const texts = (addresses: string[], peer?: string) => dialTargets(addresses, peer).map(String)
  assert.deepEqual(texts(['/ip4/1.2.3.4/tcp/1']), ['/ip4/1.2.3.4/tcp/1'])
  assert.deepEqual(texts(['/ip4/1.2.3.4/tcp/1', 'x'], one), [`/ip4/1.2.3.4/tcp/1/p2p/${one}`])
  assert.deepEqual(texts([`/ip4/1.2.3.4/tcp/1/p2p/${one}`, `/ip4/1.2.3.4/tcp/2/p2p/${two}`], one), [
    `/ip4/1.2.3.4/tcp/1/p2p/${one}`
  ])
  const relayed = `/ip4/1.2.3.4/tcp/1/p2p/${two}/p2p-circuit`
  assert.deepEqual(texts([relayed, `${relayed}/p2p/${one}`], one), [`${relayed}/p2p/${one}`, `${relayed}/p2p/${one}`])
  assert.throws(() => dialTargets(['x', `/ip4/1.2.3.4/tcp/2/p2p/${two}`], one), { code: 'invalid' })
})

test('an address that nobody can listen on is refused, not skipped', async () => {
  for (const address of ['/ip4/127.0.0.1/udp/1/quic-v1', '/ip4/127.0.0.1', '/ip4/127.0.0.1/tcp/1/tls/ws/p2p-circuit'])
    assert.throws(() => checkListen(address), { code: 'invalid' }, address)
  const listen = ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/udp/0/quic-v1']
  await assert.rejects(Libp2pHost.create({ logger: silentLogger, deviceSeed: randomBytes(32), listen }), {
    code: 'invalid'
  })
  await assert.rejects(
    Libp2pHost.create({ logger: silentLogger, deviceSeed: randomBytes(32), listen: [], announce: ['x'] }),
    {
      code: 'invalid'
    }
  )
})

async function takenPort(t: TestContext): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

test('a taken port is an error that names the port, its holder and the flag', async t => {
  const port = await takenPort(t)
  const holder = process.platform === 'linux' ? new RegExp(`by .+ \\(process ${process.pid}\\)`) : /taken/
  for (const suffix of ['', '/ws']) {
    const address = `/ip4/127.0.0.1/tcp/${port}${suffix}`
    await assert.rejects(checkPort(address), { name: 'PortTakenError', code: 'port-taken', port, message: holder })
    await assert.rejects(checkPort(address), /--listen/)
    const host = await Libp2pHost.create({
      logger: silentLogger,
      deviceSeed: randomBytes(32),
      listen: ['/ip4/127.0.0.1/tcp/0', address]
    })
    await assert.rejects(host.start(), { name: 'PortTakenError' })
  }
})

test('the holder of a port is named by its program, not by the name of its main thread', async t => {
  if (process.platform !== 'linux') return t.skip('only Linux tells')
  const folder = await temporaryFolder(t)
  const program = join(folder, 'squatter.mjs')
  const source =
    "import { createServer } from 'node:net'; const s = createServer().listen(0, '127.0.0.1', () => console.log(s.address().port))"
  await writeFile(program, source)
  const child = spawn(process.execPath, [program, '--token', 'secret'])
  t.after(() => child.kill())
  const [port] = await once(child.stdout, 'data')
  assert.equal(await holderOfPort(Number(port)), `squatter (process ${child.pid})`)
})

test('two addresses with one port fail the start, and nothing stays open', async t => {
  const port = await takenPort(t)
  const free = port === 65_535 ? port - 1 : port + 1
  if (
    await checkPort(`/ip4/127.0.0.1/tcp/${free}`).then(
      () => false,
      () => true
    )
  )
    return t.skip('no free port beside it')
  const listen = [`/ip4/127.0.0.1/tcp/${free}`, `/ip4/127.0.0.1/tcp/${free}/ws`]
  const host = await Libp2pHost.create({ logger: silentLogger, deviceSeed: randomBytes(32), listen })
  await assert.rejects(host.start())
  assert.deepEqual(host.addresses(), [])
  await checkPort(`/ip4/127.0.0.1/tcp/${free}`)
})

test('an address that this machine does not have is refused by name', async () => {
  await assert.rejects(checkPort('/ip4/192.0.2.1/tcp/12345'), { code: 'invalid', message: /192\.0\.2\.1/ })
})

test('the holder of a port is found where the system tells', async t => {
  const port = await takenPort(t)
  if (process.platform === 'linux')
    assert.match((await holderOfPort(port)) ?? '', new RegExp(`process ${process.pid}\\)`))
  assert.equal(await holderOfPort(0), undefined)
})

function upgrade(port: number, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request({
      port,
      host: '127.0.0.1',
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': randomBytes(16).toString('base64'),
        ...headers
      }
    })
    asked.on('upgrade', (response, socket) => {
      socket.destroy()
      resolve(response.statusCode ?? 0)
    })
    asked.on('response', response => {
      response.destroy()
      resolve(response.statusCode ?? 0)
    })
    asked.on('error', reject)
    asked.end()
  })
}

test('a web page cannot open a WebSocket: a request with an Origin is refused', async t => {
  const host = await Libp2pHost.create({
    logger: silentLogger,
    deviceSeed: randomBytes(32),
    listen: ['/ip4/127.0.0.1/tcp/0/ws']
  })
  await host.start()
  t.after(() => host.stop())
  const port = portOf(host.addresses()[0] as string) as number
  assert.equal(await upgrade(port, {}), 101)
  for (const origin of ['https://evil.example', `http://127.0.0.1:${port}`, 'null'])
    assert.equal(await upgrade(port, { origin }), 400, origin)
})
