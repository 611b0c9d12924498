import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseDaemonFlags, parseHostPort } from '../../../src/daemon/flags.ts'

const usage = { code: 'usage' }

test('reads each flag of the daemon, and its environment variable where the flag is not given', () => {
  const env = { DFS_BOOTSTRAP: '/a,/b', DFS_NEW: 'false', DFS_NO_MDNS: '1', DFS_DATA_DIR: '/env', DFS_NAME: 'env' }
  const byEnv = parseDaemonFlags([], env)
  assert.deepEqual(byEnv.bootstrap, ['/a', '/b'])
  assert.deepEqual([byEnv.new, byEnv.mdns, byEnv.dataDir, byEnv.name], [false, false, '/env', 'env'])
  const byFlag = parseDaemonFlags(['--bootstrap', '/c', '--bootstrap', '/d', '--new', '--data-dir', 'rel'], env)
  assert.deepEqual(byFlag.bootstrap, ['/c', '/d'])
  assert.deepEqual([byFlag.new, byFlag.dataDir], [true, `${process.cwd()}/rel`])
  assert.throws(() => parseDaemonFlags(['--zone', 'x'], {}), { code: 'usage', message: '--zone is not built yet' })
  assert.throws(() => parseDaemonFlags(['--log-level', 'loud'], {}), usage)
  assert.equal(parseDaemonFlags(['--chunker', 'fastcdc'], {}).chunker, 'fastcdc')
  assert.equal(parseDaemonFlags([], { DFS_CHUNKER: 'fixed' }).chunker, 'fixed')
  assert.throws(() => parseDaemonFlags(['--chunker', 'rabin'], {}), {
    code: 'usage',
    message: '--chunker: "rabin" is not a chunker: give fixed or fastcdc'
  })
})

test('an empty data directory is a mistake on the command line, and is ignored in the environment', () => {
  assert.throws(() => parseDaemonFlags(['--data-dir', ''], {}), usage)
  assert.notEqual(parseDaemonFlags([], { DFS_DATA_DIR: '' }).dataDir, process.cwd())
})

test('takes every log level from silent to trace', () => {
  for (const level of ['silent', 'error', 'warn', 'info', 'debug', 'trace'])
    assert.equal(parseDaemonFlags(['--log-level', level], {}).logLevel, level)
  assert.equal(parseDaemonFlags([], { DFS_LOG_LEVEL: 'trace' }).logLevel, 'trace')
  assert.equal(parseDaemonFlags([], {}).logLevel, 'info')
})

test('reads where the API listens', () => {
  assert.deepEqual(parseHostPort('127.0.0.1:3002'), { host: '127.0.0.1', port: 3002 })
  assert.deepEqual(parseHostPort('[::1]:0'), { host: '::1', port: 0 })
  for (const text of ['', '3002', 'localhost', '::1:3002', 'a:65536', '[::1:1'])
    assert.throws(() => parseHostPort(text), usage)
})

test('a machine enters by one way, and asks for a role only if a person lets it in', () => {
  const ways = [['--join', 'f'], ['--network-key-file', 'f'], ['--recover']]
  for (const [i, way] of ways.entries()) {
    parseDaemonFlags(way, {})
    for (const other of ways.slice(i + 1)) assert.throws(() => parseDaemonFlags([...way, ...other], {}), usage)
    assert.throws(() => parseDaemonFlags([...way, '--role', 'writer'], {}), { ...usage, message: /^--role is for/ })
  }
  for (const way of [['--join', 'f'], ['--recover']])
    assert.throws(() => parseDaemonFlags(['--new', ...way], {}), usage)
  assert.throws(() => parseDaemonFlags(['--new', '--role', 'reader'], {}), usage)
  parseDaemonFlags(['--new', '--network-key-file', 'f'], {})
  for (const role of ['writer', 'reader', 'storage'])
    assert.equal(parseDaemonFlags(['--bootstrap', '/a', '--role', role], {}).role, role)
  for (const role of ['admin', 'owner', '']) assert.throws(() => parseDaemonFlags(['--role', role], {}), usage, role)
  const env = { DFS_JOIN: 'i', DFS_INVITE_OUT: 'o', DFS_RECOVER: '0' }
  const { join, inviteOut, recover } = parseDaemonFlags([], env)
  assert.deepEqual([join, inviteOut, recover], ['i', 'o', false])
  assert.equal(parseDaemonFlags([], { DFS_ROLE: 'reader' }).role, 'reader')
})
