import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { test } from 'node:test'
import type { DfsVerbs, WatchEvent, WatchOptions } from '../../../src/index.ts'
import { type Served, serveFake } from '../../fixtures/api.ts'
import { until } from '../../fixtures/until.ts'

const EVENTS = { accept: 'text/event-stream' }
const NOTHING = { kind: null, size: 0, modified: null, version: null, author: null }

function event(change: WatchEvent['change'], cursor: string, path = '/d'): WatchEvent {
  return { ...NOTHING, change, path, cursor }
}

/** Makes the node answer watches with these events, and then with nothing until the signal fires. */
function answer(served: Served, events: readonly WatchEvent[]): { signals: AbortSignal[]; options: WatchOptions[] } {
  const seen: { signals: AbortSignal[]; options: WatchOptions[] } = { signals: [], options: [] }
  async function* watch(_path: string, options: WatchOptions = {}): AsyncGenerator<WatchEvent> {
    const signal = options.signal as AbortSignal
    seen.signals.push(signal)
    seen.options.push(options)
    yield* events
    await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }
  served.node.hooks.watch = watch as DfsVerbs['watch']
  return seen
}

/** Reads a response until its text fits. */
async function readUntil(response: IncomingMessage, end: string): Promise<string> {
  let text = ''
  for await (const part of response.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    text += part
    if (text.includes(end)) return text
  }
  return text
}

test('server-sent events have the cursor as their id, and begin at once', async t => {
  const served = await serveFake(t)
  answer(served, [event('current', 'c1'), event('reset', 'c2', '/d/e')])
  const response = await served.open('GET', '/v1/watch/d?recursive=true', EVENTS)
  assert.equal(response.statusCode, 200)
  assert.equal(response.headers['content-type'], 'text/event-stream')
  const text = await readUntil(response, 'c2"}\n\n')
  const [retry, first, second] = text.split('\n\n')
  assert.match(retry as string, /^retry: \d+$/)
  assert.deepEqual((first as string).split('\n')[0], 'id: c1')
  assert.deepEqual(JSON.parse((second as string).replace('id: c2\ndata: ', '')), event('reset', 'c2', '/d/e'))
  assert.equal(served.node.calls[0]?.call, 'watch /d')
  response.destroy()
})

test('a client that connects again goes on after the last event that it names, whatever its URL says', async t => {
  const served = await serveFake(t)
  const { options } = answer(served, [event('current', 'c7')])
  const again = { ...EVENTS, 'last-event-id': 'c7' }
  const response = await served.open('GET', '/v1/watch/d?since=c1&recursive=true', again)
  await readUntil(response, 'c7"}')
  const { since, recursive } = options[0] as WatchOptions
  assert.deepEqual([since, recursive], ['c7', true])
  response.destroy()
})

test('a watch needs the token, and a cursor that the node refuses is answered before any event', async t => {
  const served = await serveFake(t)
  const refused = await served.ask('GET', '/v1/watch/d', { ...EVENTS, authorization: 'Bearer x' })
  assert.equal(refused.status, 401)
  // biome-ignore lint/correctness/useYield: it fails before its first event.
  served.node.hooks.watch = async function* () {
    throw Object.assign(new Error('x'), { code: 'invalid' })
  } as DfsVerbs['watch']
  const failed = await served.ask('GET', '/v1/watch/d?since=x', EVENTS)
  assert.equal(failed.headers['content-type']?.startsWith('application/json'), true)
})

test('a client that goes away ends its watch, as events and as lines', async t => {
  for (const headers of [EVENTS, {}]) {
    const served = await serveFake(t)
    const { signals } = answer(served, [event('current', 'c1')])
    const response = await served.open('GET', '/v1/watch/d', headers)
    await readUntil(response, 'c1"}')
    response.destroy()
    await until('the watch has ended', () => signals[0]?.aborted === true)
  }
})

test('an API that closes does not wait for watches, and the client of lines learns why its own has ended', async t => {
  const served = await serveFake(t)
  answer(served, [event('current', 'c1')])
  const lines = await served.open('GET', '/v1/watch/d')
  await readUntil(lines, 'c1"}')
  const rest = readUntil(lines, 'never')
  await served.api.close()
  assert.equal(JSON.parse(await rest).error.code, 'unreachable')
})

test('a client of events hears a heartbeat while nothing changes', async t => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const served = await serveFake(t)
  answer(served, [event('current', 'c1')])
  const response = await served.open('GET', '/v1/watch/d', EVENTS)
  await readUntil(response, 'c1"}\n\n')
  t.mock.timers.tick(15_000)
  assert.equal(await readUntil(response, ':'), ':\n\n')
  response.destroy()
})

test('the node is asked for no more events than a slow client reads', async t => {
  const served = await serveFake(t)
  let given = 0
  async function* watch(): AsyncGenerator<WatchEvent> {
    for (; given < 200_000; given++) yield event('reset', 'c', `/${'x'.repeat(1_000)}`)
  }
  served.node.hooks.watch = watch as DfsVerbs['watch']
  const response = await served.open('GET', '/v1/watch/d', EVENTS)
  await settled(() => given)
  assert.ok(given < 50_000, `${given} events were read for a client that reads none`)
  response.destroy()
})

/** Waits until a count no longer grows. */
async function settled(count: () => number): Promise<void> {
  let before = -1
  await until('the count is still', async () => {
    const now = count()
    const isStill = now === before
    before = now
    await new Promise(resolve => setTimeout(resolve, 100))
    return isStill && now > 0
  })
}
