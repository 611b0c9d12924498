import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InvalidInputError } from '../../../src/index.ts'
import { CliError, isOfOneFile, messageOf } from '../../../src/terminal/errors.ts'
import { escapeForTerminal } from '../../../src/terminal/escape.ts'
import { exitOf } from '../../../src/terminal/exit.ts'
import { isOn } from '../../../src/terminal/program.ts'

test('each kind of failure has its exit code and its sentence', () => {
  const codes = {
    usage: 2,
    invalid: 2,
    'is-a-directory': 2,
    'not-a-directory': 2,
    'not-found': 3,
    'not-allowed': 4,
    'wrong-network': 4,
    unreachable: 5
  }
  for (const [code, exit] of Object.entries({ ...codes, corrupt: 6, damaged: 6, 'no-space': 7, exists: 1, io: 1 }))
    assert.equal(exitOf(new CliError(code, '')), exit, code)
  assert.equal(exitOf(new InvalidInputError('')), 2)
  assert.equal(exitOf(new Error('x')), 1)
  const full = Object.assign(new Error('ENOSPC: …'), { code: 'ENOSPC', syscall: 'write' })
  const denied = Object.assign(new Error('EACCES: …'), { code: 'EACCES', syscall: 'open', path: '/x/y' })
  assert.deepEqual([exitOf(full), isOfOneFile(full), messageOf(full)], [7, false, 'no space is left on the disk'])
  assert.deepEqual([exitOf(denied), isOfOneFile(denied), messageOf(denied)], [4, true, '/x/y: permission denied'])
})

test('escapes text from elsewhere that would move the cursor or change the direction of text', () => {
  assert.equal(escapeForTerminal('a\x1b[2J\r\n\u202eb\u009bé😀'), 'a\\u{1b}[2J\\u{d}\\u{a}\\u{202e}b\\u{9b}é😀')
})

test('an environment variable switches something on unless it says no', () => {
  assert.deepEqual(['1', 'true', 'yes', '0', 'false', 'No', '', undefined].map(isOn), [
    ...[true, true, true],
    ...[false, false, false, false, false]
  ])
})
