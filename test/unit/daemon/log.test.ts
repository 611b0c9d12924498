import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import pino from 'pino'
import { componentLogger, textLine } from '../../../src/daemon/log.ts'
import { debugLogger } from '../../../src/index.ts'

// The tests below set or unset it themselves.
delete process.env['DEBUG']

interface Line {
  level: number
  scope: string
  msg: string
}

/** Returns what components log at a log level of the daemon. */
function linesAt(level: string): Line[] {
  const lines: Line[] = []
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)))
      done()
    }
  })
  const log = componentLogger(pino({ level, base: null, timestamp: false }, sink)).forComponent('dfs:blocks:put')
  log('asked %s for %d copies', 'peer', 2)
  log.trace('one block')
  log.error('the disk is full')
  log.newScope('placer')('next in rank')
  return lines
}

test('what a component says becomes a line of the daemon, with its scope and a level', () => {
  assert.deepEqual(linesAt('trace'), [
    { level: 20, scope: 'dfs:blocks:put', msg: 'asked peer for 2 copies' },
    { level: 10, scope: 'dfs:blocks:put', msg: 'one block' },
    { level: 50, scope: 'dfs:blocks:put', msg: 'the disk is full' },
    { level: 20, scope: 'dfs:blocks:put:placer', msg: 'next in rank' }
  ])
  assert.deepEqual(
    linesAt('debug').map(({ level }) => level),
    [20, 50, 20]
  )
  assert.deepEqual(
    linesAt('info').map(({ level }) => level),
    [50]
  )
})

test('the variable DEBUG decides instead, if it is set', t => {
  t.after(() => {
    delete process.env['DEBUG']
  })
  process.env['DEBUG'] = 'dfs:*'
  assert.equal(componentLogger(pino({ level: 'silent' })), debugLogger)
})

test('a line of text has the time of day, and for debugging the level and the scope', () => {
  const time = new Date(2026, 10, 26, 7, 3, 9).getTime()
  const text = (level: number, fields = {}): string =>
    textLine(JSON.stringify({ level, time, scope: 'dfs:node', ...fields, msg: 'a\u001bb' }))
  assert.equal(text(30), '07:03:09 a\\u{1b}b')
  assert.equal(text(40), '07:03:09 warning: a\\u{1b}b')
  assert.equal(text(50, { code: 'io' }), '07:03:09 error: a\\u{1b}b code=io')
  assert.equal(text(20), '07:03:09 debug dfs:node: a\\u{1b}b')
})
