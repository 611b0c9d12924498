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
  assert.throws(() => parseDaemonFlags(['--role', 'reader'], {}), { code: 'usage', message: '--role is not built yet' })
  assert.throws(() => parseDaemonFlags(['--log-level', 'loud'], {}), usage)
})

test('an empty data directory is a mistake on the command line, and no value in the environment', () => {
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
