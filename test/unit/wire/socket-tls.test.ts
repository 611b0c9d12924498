import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { yamux } from '@chainsafe/libp2p-yamux'
import type { ConnectionEncrypter, Libp2p, MessageStream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { type TLSComponents, tls } from '@libp2p/tls'
import { webSockets } from '@libp2p/websockets'
import { createLibp2p } from 'libp2p'
import { socketOf, socketTls } from '../../../src/wire/socket-tls.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { until } from '../../fixtures/until.ts'

type Encrypter = (components: TLSComponents) => ConnectionEncrypter

async function node(t: TestContext, encrypter: Encrypter, listen = '/ip4/127.0.0.1/tcp/0'): Promise<Libp2p> {
  const started = await createLibp2p({
    addresses: { listen: [listen] },
    transports: [tcp(), webSockets()],
    connectionEncrypters: [encrypter],
    streamMuxers: [yamux()],
    connectionManager: { inboundConnectionThreshold: 100 }
  })
  t.after(() => started.stop())
  await started.handle('/echo', stream => {
    stream.addEventListener('message', ({ data }) => {
      stream.send(data)
    })
  })
  return started
}

async function echoes(a: Libp2p, b: Libp2p, bytes: number): Promise<void> {
  const connection = await a.dial(b.getMultiaddrs(), { signal: AbortSignal.timeout(30_000) })
  assert.equal(connection.remotePeer.toString(), b.peerId.toString())
  assert.equal(connection.encryption, '/tls/1.0.0')
  const stream = await connection.newStream('/echo')
  const sent = randomBytes(bytes)
  const back: Uint8Array[] = []
  let length = 0
  stream.addEventListener('message', ({ data }) => {
    back.push(data.subarray())
    length += data.byteLength
  })
  for (let at = 0; at < bytes; at += 64 << 10) {
    if (!stream.send(sent.subarray(at, at + (64 << 10)))) await stream.onDrain()
  }
  await until('everything is back', async () => length === bytes)
  assert.ok(Buffer.concat(back).equals(sent))
}

const KINDS: Record<string, () => Encrypter> = { 'on the socket': () => socketTls(silentLogger), 'of libp2p': tls }

for (const [here, makeHere] of Object.entries(KINDS)) {
  for (const [there, makeThere] of Object.entries(KINDS)) {
    test(`TLS ${here} speaks to TLS ${there}`, async t => {
      const a = await node(t, makeHere())
      const b = await node(t, makeThere())
      await echoes(a, b, 3_000_001)
    })
  }
}

/** Records whether each connection has a socket that TLS can run on. */
function noting(found: boolean[]): Encrypter {
  const make = socketTls(silentLogger)
  return components => {
    const encrypter = make(components)
    const note = (connection: MessageStream): void => void found.push(socketOf(connection) !== undefined)
    return {
      protocol: encrypter.protocol,
      secureInbound: (connection, options) => {
        note(connection)
        return encrypter.secureInbound(connection, options)
      },
      secureOutbound: (connection, options) => {
        note(connection)
        return encrypter.secureOutbound(connection, options)
      }
    }
  }
}

test('@libp2p/tcp keeps its socket where we look for it; otherwise connections would be slow and nobody would know', async t => {
  const found: boolean[] = []
  await echoes(await node(t, noting(found)), await node(t, noting(found)), 1_000)
  assert.deepEqual(found, [true, true])
})

test('a connection over a WebSocket has no such socket, and is secured by the stock module', async t => {
  const found: boolean[] = []
  const b = await node(t, noting(found), '/ip4/127.0.0.1/tcp/0/ws')
  await echoes(await node(t, noting(found)), b, 100_000)
  assert.deepEqual(found, [false, false])
})

test('a peer that shows another certificate than was expected is refused', async t => {
  const a = await node(t, socketTls(silentLogger))
  const b = await node(t, socketTls(silentLogger))
  const c = await node(t, socketTls(silentLogger))
  const [address] = b.getMultiaddrs().map(address => address.decapsulate('/p2p'))
  await assert.rejects(a.dial(address!.encapsulate(`/p2p/${c.peerId}`), { signal: AbortSignal.timeout(30_000) }))
  assert.deepEqual(a.getConnections(), [])
})

test('a dialler that sends nothing or nonsense, or hangs up half-way, costs the listener no more than one connection', async t => {
  const b = await node(t, socketTls(silentLogger))
  const port = Number(
    b
      .getMultiaddrs()[0]!
      .getComponents()
      .find(({ name }) => name === 'tcp')?.value
  )
  const ends: Array<(socket: Socket) => void> = [
    socket => socket.destroy(),
    socket => socket.end(randomBytes(1000)),
    socket => socket.end('\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n'),
    socket => socket.end(Buffer.concat([Buffer.from('\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n'), randomBytes(500)])),
    socket => {
      socket.write('\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n')
      setTimeout(() => socket.resetAndDestroy(), 20)
    }
  ]
  for (const end of ends) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.resume()
    await new Promise(resolve => socket.once('connect', resolve))
    end(socket)
    await new Promise(resolve => (socket.destroyed ? resolve(null) : socket.once('close', resolve)))
  }
  await echoes(await node(t, socketTls(silentLogger)), b, 1_000)
})

test('bytes that arrive together with the last message of the negotiation are not lost', async t => {
  const b = await node(t, socketTls(silentLogger))
  const [address] = b.getMultiaddrs()
  const port = Number(address!.getComponents().find(({ name }) => name === 'tcp')?.value)
  // A relay that holds bytes back and passes them on in as few pieces as it can.
  const relay = await gathering(t, port)
  const a = await node(t, socketTls(silentLogger))
  const connection = await a.dial(
    (await import('@multiformats/multiaddr')).multiaddr(`/ip4/127.0.0.1/tcp/${relay}/p2p/${b.peerId}`),
    { signal: AbortSignal.timeout(30_000) }
  )
  const stream = await connection.newStream('/echo')
  const { promise, resolve } = Promise.withResolvers<Uint8Array>()
  stream.addEventListener('message', ({ data }) => resolve(data.subarray()))
  stream.send(Buffer.from('hello'))
  assert.equal(Buffer.from(await promise).toString(), 'hello')
})

/** A TCP relay that collects the bytes of a short time and sends them together. */
async function gathering(t: TestContext, port: number): Promise<number> {
  const pipe = (from: Socket, to: Socket): void => {
    let held: Buffer[] = []
    from.on('data', piece => {
      if (held.push(piece) > 1) return
      setTimeout(() => {
        to.write(Buffer.concat(held))
        held = []
      }, 30)
    })
    from.on('error', () => to.destroy())
    from.on('close', () => to.destroy())
  }
  const server: Server = createServer(socket => {
    const other = connect(port, '127.0.0.1')
    pipe(socket, other)
    pipe(other, socket)
  })
  t.after(() => server.close())
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as { port: number }).port
}
