import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRange } from '../../../src/cli/commands/cat.ts'
import { parseDaemonFlags, parseHostPort } from '../../../src/cli/daemon-flags.ts'
import { escapeForTerminal } from '../../../src/cli/escape.ts'
import { CliError, exitOf, isOfOneFile, messageOf } from '../../../src/cli/exit.ts'
import { mediaTypeOf } from '../../../src/cli/media-type.ts'
import { isOn } from '../../../src/cli/program.ts'
import { progressText } from '../../../src/cli/progress.ts'
import { formatBytes, formatDuration, parseCopies, parseSize, parseTime } from '../../../src/cli/units.ts'
import { forEachAtOnce } from '../../../src/http/pool.ts'
import { InvalidInputError } from '../../../src/index.ts'

const usage = { code: 'usage' }

test('sizes: tens with a B, twos with an iB', () => {
  assert.equal(parseSize('10GB'), 10_000_000_000)
  assert.equal(parseSize('64MiB'), 64 << 20)
  assert.equal(parseSize('1.5 kib'), 1536)
  assert.equal(parseSize('0'), 0)
  for (const text of ['', 'GB', '-1GB', '1XB', '1 2', '1e9', '9999999TiB'])
    assert.throws(() => parseSize(text), usage, text)
})

test('times, copies, ranges', () => {
  assert.deepEqual(['5s', '10m', '24h', '30d'].map(parseTime), [5e3, 600e3, 86_400e3, 30 * 86_400e3])
  for (const text of ['', '5', 's', '-5s', '5 weeks']) assert.throws(() => parseTime(text), usage, text)
  assert.deepEqual(['all', '1', '999'].map(parseCopies), ['all', 1, 999])
  for (const text of ['0', '', '1000', 'ALL', '2.5']) assert.throws(() => parseCopies(text), usage, text)
  assert.deepEqual(parseRange('0-99'), { from: 0, to: 99 })
  assert.deepEqual(parseRange('7-'), { from: 7, to: undefined })
  for (const text of ['', '-7', '9-2', 'a-b', `${'9'.repeat(30)}-`]) assert.throws(() => parseRange(text), usage, text)
})

test('numbers as people read them', () => {
  assert.deepEqual([0, 1023, 1024, 1.5 * 2 ** 30].map(formatBytes), ['0 B', '1023 B', '1.0 KiB', '1.5 GiB'])
  assert.deepEqual([0, 59.1, 61, 3_725].map(formatDuration), ['0 s', '1 min 0 s', '1 min 1 s', '1 h 2 min'])
  assert.equal(progressText('put', 1 << 20, 3 << 20, 1000), 'put 1.0 MiB of 3.0 MiB  1.0 MiB/s  2 s left')
  assert.equal(progressText('put', 1 << 20, undefined, 2000), 'put 1.0 MiB  512.0 KiB/s')
})

test('names of others move no cursor and turn no text', () => {
  assert.equal(escapeForTerminal('a\x1b[2J\r\n\u202eb\u009bé😀'), 'a\\u{1b}[2J\\u{d}\\u{a}\\u{202e}b\\u{9b}é😀')
})

test('media types go by extension', () => {
  assert.equal(mediaTypeOf('/a.b/Picture.PNG'), 'image/png')
  for (const name of ['/png', '/a.png/file', 'x.unknown']) assert.equal(mediaTypeOf(name), undefined)
})

test('every kind of failure has its exit code and its sentence', () => {
  const codes = { usage: 2, invalid: 2, 'not-found': 3, 'not-allowed': 4, 'wrong-network': 4, unreachable: 5 }
  for (const [code, exit] of Object.entries({ ...codes, corrupt: 6, damaged: 6, 'no-space': 7, exists: 1, io: 1 }))
    assert.equal(exitOf(new CliError(code, '')), exit, code)
  assert.equal(exitOf(new InvalidInputError('')), 2)
  assert.equal(exitOf(new Error('x')), 1)
  const full = Object.assign(new Error('ENOSPC: …'), { code: 'ENOSPC', syscall: 'write' })
  const denied = Object.assign(new Error('EACCES: …'), { code: 'EACCES', syscall: 'open', path: '/x/y' })
  assert.deepEqual([exitOf(full), isOfOneFile(full), messageOf(full)], [7, false, 'no space left on this disk'])
  assert.deepEqual([exitOf(denied), isOfOneFile(denied), messageOf(denied)], [1, true, 'permission denied: /x/y'])
})

test('work on many items: so many at once, none left running after a failure', async () => {
  let running = 0
  let most = 0
  const started: number[] = []
  async function* numbers(): AsyncGenerator<number> {
    for (let i = 0; i < 50; i++) yield i
  }
  const work = async (i: number): Promise<void> => {
    started.push(i)
    most = Math.max(most, ++running)
    await new Promise(resolve => setImmediate(resolve))
    running--
    if (i === 20) throw new Error('twenty')
  }
  await assert.rejects(forEachAtOnce(numbers(), 4, work), /twenty/)
  assert.deepEqual([running, most], [0, 4])
  assert.ok(started.length < 30)
  async function* broken(): AsyncGenerator<number> {
    yield 1
    throw new Error('source')
  }
  await assert.rejects(forEachAtOnce(broken(), 4, work), /source/)
  assert.equal(running, 0)
})

test('flags of the daemon: each has its variable, and counts before it', () => {
  const env = { DFS_BOOTSTRAP: '/a,/b', DFS_NEW: 'false', DFS_NO_MDNS: '1', DFS_DATA_DIR: '/env', DFS_NAME: 'env' }
  const byEnv = parseDaemonFlags([], env)
  assert.deepEqual(byEnv.bootstrap, ['/a', '/b'])
  assert.deepEqual([byEnv.new, byEnv.mdns, byEnv.dataDir, byEnv.name], [false, false, '/env', 'env'])
  const byFlag = parseDaemonFlags(['--bootstrap', '/c', '--bootstrap', '/d', '--new', '--data-dir', 'rel'], env)
  assert.deepEqual(byFlag.bootstrap, ['/c', '/d'])
  assert.deepEqual([byFlag.new, byFlag.dataDir], [true, `${process.cwd()}/rel`])
  assert.throws(() => parseDaemonFlags(['--role', 'reader'], {}), { code: 'usage', message: '--role is not built yet' })
  assert.throws(() => parseDaemonFlags(['--log-level', 'loud'], {}), usage)
  assert.deepEqual(['1', 'true', 'yes', '0', 'false', 'No', '', undefined].map(isOn), [
    ...[true, true, true],
    ...[false, false, false, false, false]
  ])
})

test('where the API listens', () => {
  assert.deepEqual(parseHostPort('127.0.0.1:3002'), { host: '127.0.0.1', port: 3002 })
  assert.deepEqual(parseHostPort('[::1]:0'), { host: '::1', port: 0 })
  for (const text of ['', '3002', 'localhost', '::1:3002', 'a:65536', '[::1:1'])
    assert.throws(() => parseHostPort(text), usage)
})
