import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import pino from 'pino'
import { EventLog } from '../../../src/daemon/event-log.ts'
import { textTo } from '../../../src/daemon/log.ts'
import type { NodeEvent } from '../../../src/index.ts'

const PEER = '12D3KooWM4FymJfA7y8d4CnqsShFVuhHy34tsyoi7cWPWw4sCmSh'

/** Returns what the daemon writes about these events, without the times. */
function written(events: readonly NodeEvent[], { isForPeople }: { isForPeople: boolean }): string[] {
  let text = ''
  const out = new Writable({
    write(chunk, _encoding, done) {
      text += chunk
      done()
    }
  })
  const log = pino({ level: 'info', base: null }, isForPeople ? textTo(out) : out)
  const eventLog = new EventLog({ log, isForPeople })
  for (const event of events) eventLog.onEvent(event)
  const lines = text.split('\n').filter(line => line !== '')
  return lines.map(line => line.replace(/^\r\x1b\[K\d\d:\d\d:\d\d /, '').replace(/"time":\d+,/, ''))
}

test('a terminal shows events as sentences, with the name of a member and the end of its id', () => {
  const events: NodeEvent[] = [
    { event: 'admitted', peerId: PEER, name: 'attic' },
    { event: 'departed', peerId: PEER, name: 'attic' },
    { event: 'disk', state: 'full' },
    { event: 'bad-block', isDamaged: true }
  ]
  assert.deepEqual(written(events, { isForPeople: true }), [
    'attic joined (…Ww4sCmSh)',
    'attic went away (…Ww4sCmSh)',
    'warning: this node is full: it stores no more blocks until there is room',
    'error: a block does not match its CID'
  ])
})

test('a program gets JSON lines, in which no name appears', () => {
  const lines = written([{ event: 'admitted', peerId: PEER, name: 'attic' }], { isForPeople: false })
  assert.deepEqual(lines, ['{"level":30,"scope":"dfs:members","peer":"Ww4sCmSh","msg":"admitted"}'])
})

test('a name cannot break out of its line', () => {
  const [line, ...others] = written([{ event: 'admitted', peerId: PEER, name: 'at\x1b[2J\ntic' }], {
    isForPeople: true
  })
  assert.deepEqual([line, others], ['at\\u{1b}[2J\\u{a}tic joined (…Ww4sCmSh)', []])
})

test('a terminal shows the same warning once in ten minutes, and no name of a stranger', () => {
  const rejected: NodeEvent = { event: 'rejected', peerId: PEER, name: 'attic', reason: 'duplicate', aheadMs: null }
  const asking: NodeEvent = { event: 'asking', code: 'SR7K6K', name: 'stranger', role: 'writer' }
  assert.deepEqual(written([rejected, rejected, asking], { isForPeople: true }), [
    'warning: attic (…Ww4sCmSh) refuses this node, because another node runs with its identity: was the data directory copied?'
  ])
  assert.equal(written([rejected, rejected], { isForPeople: false }).length, 2)
  assert.doesNotMatch(written([asking], { isForPeople: false }).join(), /stranger/)
})

test('a terminal says whose clock is wrong, and by how much', () => {
  const day = 24 * 3_600_000
  const events: NodeEvent[] = [
    { event: 'clock', peerId: PEER, name: 'attic', aheadMs: day },
    { event: 'rejected', peerId: PEER, name: null, reason: 'clock-off', aheadMs: -day }
  ]
  assert.deepEqual(written(events, { isForPeople: true }), [
    "warning: the clock of attic (…Ww4sCmSh) is 24 h ahead of this machine's: set the one that is wrong",
    "warning: a node (…Ww4sCmSh) and this node refuse each other until the wrong clock is set: its clock is 24 h behind this machine's"
  ])
})
