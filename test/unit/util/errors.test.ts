import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  codeOf,
  DeadlineError,
  DfsError,
  InvalidInputError,
  isAbort,
  OverLimitError,
  StoppedError
} from '../../../src/util/errors.ts'

test('each error has its name, its code and its cause', () => {
  const cause = new Error('below')
  const known = [
    [InvalidInputError, 'InvalidInputError', 'invalid'],
    [OverLimitError, 'OverLimitError', 'over-limit'],
    [DeadlineError, 'DeadlineError', 'unreachable'],
    [StoppedError, 'StoppedError', 'aborted']
  ] as const
  for (const [type, name, code] of known) {
    const error = new type('what to do', { cause })
    assert.ok(error instanceof DfsError)
    assert.equal(error.name, name)
    assert.equal(codeOf(error), code)
    assert.equal(error.cause, cause)
  }
})

test('an abort is an abort, and a deadline is not', async () => {
  const { reason } = AbortSignal.abort()
  assert.ok(isAbort(reason))
  assert.ok(isAbort(new StoppedError('stopped')))
  for (const other of [
    new DeadlineError('late'),
    new Error('x'),
    'AbortError',
    null,
    undefined,
    { name: 'AbortError' }
  ])
    assert.ok(!isAbort(other))
})

test('every thrown value has a code', () => {
  assert.equal(codeOf(AbortSignal.abort().reason), 'aborted')
  assert.equal(codeOf(new DOMException('late', 'TimeoutError')), 'unreachable')
  for (const unknown of [new Error('x'), 'text', undefined, null, 42]) assert.equal(codeOf(unknown), 'io')
})
