import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { STREAMS_PER_PROTOCOL_MAX } from '../../src/wire/constants.ts'
import type { ByteStream, Host } from '../../src/wire/host.ts'
import { until } from '../fixtures/until.ts'

/**
 * The contract of a `Host`, run against every implementation of the port. `make` returns a host that has not been started,
 * with a peer id of its own and an address at which it will listen.
 */
export function hostContract(name: string, make: () => Promise<Host>): void {
  const check = (what: string, work: (t: TestContext) => Promise<void>): void => {
    test(`host contract, ${name}: ${what}`, work)
  }

  /** Hosts that run until the test ends. They send back the bytes they get on `/echo/1`, and collect those on `/take/1`. */
  async function start(t: TestContext, count: number): Promise<Peer[]> {
    const peers: Peer[] = []
    for (let i = 0; i < count; i++) {
      const host = await make()
      const peer: Peer = { host, events: [], dialled: [], taken: [] }
      host.onPeer((event, id) => peer.events.push(`${event} ${id}`))
      host.onDialled(id => peer.dialled.push(id))
      host.handle('/echo/1', stream => {
        let last = Promise.resolve()
        stream.onData(bytes => {
          const copy = Buffer.from(bytes)
          last = last.then(() => stream.write([copy])).catch(() => {})
        })
      })
      host.handle('/take/1', stream => peer.taken.push(collect(stream)))
      t.after(() => host.stop())
      await host.start()
      peers.push(peer)
    }
    return peers
  }

  check('a dial returns the id that was proven, and both hosts are told', async t => {
    const [a, b] = (await start(t, 2)) as [Peer, Peer]
    assert.notEqual(a.host.peerId, b.host.peerId)
    assert.equal(await a.host.dial(b.host.addresses(), soon()), b.host.peerId)
    await until('b knows', async () => b.host.isConnected(a.host.peerId))
    assert.ok(a.host.isConnected(b.host.peerId))
    assert.deepEqual(a.events, [`connected ${b.host.peerId}`])
    assert.deepEqual(b.events, [`connected ${a.host.peerId}`])
    assert.deepEqual(a.dialled, [b.host.peerId])
    assert.deepEqual(b.dialled, [])
    const [there] = a.host.connections()
    const [here] = b.host.connections()
    assert.deepEqual([there?.peer, there?.isOutbound], [b.host.peerId, true])
    assert.deepEqual([here?.peer, here?.isOutbound], [a.host.peerId, false])
    assert.ok((there?.via ?? '') !== '' && (there?.address ?? '') !== '')
  })

  check('a dial that reaches another peer than the expected one fails', async t => {
    const [a, b, c] = (await start(t, 3)) as [Peer, Peer, Peer]
    await assert.rejects(a.host.dial(b.host.addresses(), { ...soon(), peer: c.host.peerId }), DISCONNECTED)
    assert.ok(!a.host.isConnected(c.host.peerId))
  })

  check('a dial to nobody, to the host itself, or to nonsense fails', async t => {
    const [a, b] = (await start(t, 2)) as [Peer, Peer]
    const nobody = b.host.addresses()
    await b.host.stop()
    await assert.rejects(a.host.dial(nobody, soon()), DISCONNECTED)
    await assert.rejects(a.host.dial(a.host.addresses(), soon()), DISCONNECTED)
    await assert.rejects(a.host.dial(['nonsense'], soon()), { code: 'invalid' })
    await assert.rejects(a.host.dial([], soon()), { code: 'invalid' })
    await assert.rejects(a.host.dial(nobody, { signal: AbortSignal.abort(new Error('enough')) }), /enough/)
    assert.deepEqual([a.host.connections(), a.dialled], [[], []])
  })

  check('a dial skips malformed addresses and uses the others', async t => {
    const [a, b] = (await start(t, 2)) as [Peer, Peer]
    const addresses = ['nonsense', '', ...b.host.addresses()]
    assert.equal(await a.host.dial(addresses, { ...soon(), peer: b.host.peerId }), b.host.peerId)
  })

  check('a peer is connected from its first connection to its last', async t => {
    const [a, b] = (await start(t, 2)) as [Peer, Peer]
    await Promise.all([
      a.host.dial(b.host.addresses(), { ...soon(), peer: b.host.peerId }),
      b.host.dial(a.host.addresses(), { ...soon(), peer: a.host.peerId })
    ])
    await a.host.dial(b.host.addresses(), soon())
    await until('both know', async () => a.host.isConnected(b.host.peerId) && b.host.isConnected(a.host.peerId))
    assert.deepEqual(a.events, [`connected ${b.host.peerId}`])
    assert.deepEqual(b.events, [`connected ${a.host.peerId}`])
    assert.ok(a.dialled.length === 2 && b.dialled.length === 1)
    await a.host.hangUp(b.host.peerId)
    await until('a is alone', async () => !a.host.isConnected(b.host.peerId))
    await until('b is alone', async () => !b.host.isConnected(a.host.peerId), PROMPT_MS)
    assert.deepEqual(a.events, [`connected ${b.host.peerId}`, `disconnected ${b.host.peerId}`])
    assert.deepEqual(b.events, [`connected ${a.host.peerId}`, `disconnected ${a.host.peerId}`])
    assert.deepEqual(a.host.connections(), [])
    assert.equal(await b.host.dial(a.host.addresses(), { ...soon(), peer: a.host.peerId }), a.host.peerId)
  })

  check('bytes arrive as they were sent, both ways, however many', async t => {
    const [a, b] = await connected(t)
    const stream = await a.host.open(b.host.peerId, '/echo/1', soon())
    assert.equal(stream.peer, b.host.peerId)
    const back = collect(stream)
    const parts = [randomBytes(1), randomBytes(3 << 20), new Uint8Array(0), randomBytes(70_000), randomBytes(5)]
    await stream.write(parts)
    await stream.write([randomBytes(0)])
    await stream.write(parts)
    const sent = Buffer.concat([...parts, ...parts])
    await until('all back', async () => back.bytes() >= sent.byteLength)
    assert.ok(back.all().equals(sent))
  })

  check('streams do not mix, and a handler knows which peer opened one', async t => {
    const [a, b] = await connected(t)
    const streams = await Promise.all(Array.from({ length: 4 }, () => a.host.open(b.host.peerId, '/take/1', soon())))
    const texts = streams.map((_, i) => Buffer.from(`stream ${i} `.repeat(20_000)))
    await Promise.all(streams.map((stream, i) => stream.write([texts[i] as Buffer])))
    await until('all there', async () => b.taken.length === 4 && b.taken.every(({ bytes }) => bytes() === 180_000))
    const got = b.taken.map(taken => taken.all().toString('latin1')).sort()
    assert.deepEqual(got, texts.map(text => text.toString('latin1')).sort())
    for (const { peer } of b.taken) assert.equal(peer, a.host.peerId)
  })

  check('closing a stream delivers all bytes that were written, then the end', async t => {
    const [a, b] = await connected(t)
    const stream = await a.host.open(b.host.peerId, '/take/1', soon())
    const bytes = randomBytes(900_000)
    await stream.write([bytes])
    await stream.close()
    await until('the end', async () => b.taken[0]?.ends() === 1)
    assert.ok(b.taken[0]?.all().equals(bytes))
  })

  check('an abort ends both sides once, and later writes fail', async t => {
    const [a, b] = await connected(t)
    const stream = await a.host.open(b.host.peerId, '/echo/1', soon())
    const own = collect(stream)
    await stream.write([Buffer.from('x')])
    await until('it flows', async () => own.bytes() === 1)
    const other = await a.host.open(b.host.peerId, '/take/1', soon())
    await other.write([Buffer.from('x')])
    await until('it is there', async () => b.taken.length === 1)
    stream.abort(new Error('enough'))
    stream.abort(new Error('again'))
    other.abort(new Error('enough'))
    await until('both ended', async () => own.ends() === 1 && b.taken[0]?.ends() === 1, PROMPT_MS)
    await assert.rejects(stream.write([Buffer.from('y')]), DISCONNECTED)
    assert.equal(own.ends(), 1)
    assert.ok(a.host.isConnected(b.host.peerId))
  })

  check('a listener that is set after the end of a stream is still called', async t => {
    const [a, b] = await connected(t)
    const stream = await a.host.open(b.host.peerId, '/take/1', soon())
    stream.abort(new Error('enough'))
    const { promise, resolve } = Promise.withResolvers<void>()
    stream.onEnd(() => resolve())
    await promise
  })

  check('the end of a connection ends its streams and a write that waits', async t => {
    const [a, b] = await connected(t)
    const stream = await a.host.open(b.host.peerId, '/take/1', soon())
    const own = collect(stream)
    await stream.write([Buffer.from('x')])
    await until('it is there', async () => b.taken[0]?.bytes() === 1)
    const writing = (async () => {
      for (;;) await stream.write([Buffer.alloc(1 << 20)])
    })()
    writing.catch(() => {})
    await b.host.hangUp(a.host.peerId)
    await assert.rejects(writing, DISCONNECTED)
    await until('both ended', async () => own.ends() === 1 && b.taken[0]?.ends() === 1, PROMPT_MS)
  })

  check('no stream opens without a connection, a handler, or time', async t => {
    const [a, b] = (await start(t, 2)) as [Peer, Peer]
    await assert.rejects(a.host.open(b.host.peerId, '/echo/1', soon()), DISCONNECTED)
    await a.host.dial(b.host.addresses(), soon())
    await assert.rejects(
      a.host.open(b.host.peerId, '/echo/1', { signal: AbortSignal.abort(new Error('late')) }),
      /late/
    )
    const refused = await a.host.open(b.host.peerId, '/unknown/1', soon()).catch(() => undefined)
    if (refused !== undefined) {
      const heard = collect(refused)
      await until('refused', async () => heard.ends() === 1)
      assert.equal(heard.bytes(), 0)
    }
    await a.host.open(b.host.peerId, '/echo/1', soon())
  })

  check('a peer can open a bounded number of streams of a protocol', async t => {
    const [a, b] = await connected(t)
    let opened = 0
    const streams: ByteStream[] = []
    const ended = new Set<ByteStream>()
    while (opened <= STREAMS_PER_PROTOCOL_MAX) {
      opened++
      const stream = await a.host.open(b.host.peerId, '/take/1', soon()).catch(() => undefined)
      if (stream === undefined) break
      stream.onEnd(() => ended.add(stream))
      streams.push(stream)
    }
    await until('the last is refused', async () => streams.length - ended.size <= STREAMS_PER_PROTOCOL_MAX)
    await (streams[0] as ByteStream).write([Buffer.from('still fine')])
    await until('the first lives', async () => b.taken.some(taken => taken.all().toString() === 'still fine'))
    const echo = await a.host.open(b.host.peerId, '/echo/1', soon())
    const back = collect(echo)
    await echo.write([Buffer.from('others too')])
    await until('others too', async () => back.all().toString() === 'others too')
  })

  check('a host that stops disconnects from the others, and cannot be dialled', async t => {
    const [a, b] = await connected(t)
    const stream = await a.host.open(b.host.peerId, '/take/1', soon())
    const own = collect(stream)
    const addresses = b.host.addresses()
    assert.ok(addresses.length > 0)
    for (const address of addresses) assert.ok(!address.includes('/p2p/'), address)
    await b.host.stop()
    await until('gone', async () => !a.host.isConnected(b.host.peerId) && own.ends() === 1, PROMPT_MS)
    await assert.rejects(a.host.dial(addresses, soon()), DISCONNECTED)
    assert.deepEqual(a.events, [`connected ${b.host.peerId}`, `disconnected ${b.host.peerId}`])
  })

  async function connected(t: TestContext): Promise<[Peer, Peer]> {
    const [a, b] = (await start(t, 2)) as [Peer, Peer]
    await a.host.dial(b.host.addresses(), soon())
    await until('b knows', async () => b.host.isConnected(a.host.peerId))
    return [a, b]
  }
}

interface Peer {
  host: Host
  events: string[]
  dialled: string[]
  taken: Collected[]
}

interface Collected {
  peer: string
  bytes: () => number
  all: () => Buffer
  ends: () => number
}

/** Far less than the time after which failed pings would show the end. */
const PROMPT_MS = 10_000
const DISCONNECTED = { name: 'DisconnectedError' }

function soon(): { signal: AbortSignal } {
  return { signal: AbortSignal.timeout(10_000) }
}

function collect(stream: ByteStream): Collected {
  const parts: Buffer[] = []
  let bytes = 0
  let ends = 0
  stream.onData(part => {
    parts.push(Buffer.from(part))
    bytes += part.byteLength
  })
  stream.onEnd(() => ends++)
  return { peer: stream.peer, bytes: () => bytes, all: () => Buffer.concat(parts), ends: () => ends }
}
