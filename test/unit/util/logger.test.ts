import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { InvalidInputError } from '../../../src/util/errors.ts'
import { reasonOf } from '../../../src/util/logger.ts'

test('the reason of our own errors is their message; of others it is a name and a code, never their words', () => {
  assert.equal(reasonOf(new InvalidInputError('a capacity is a number')), 'InvalidInputError: a capacity is a number')
  assert.equal(reasonOf(new TypeError('secret-path')), 'TypeError')
  assert.equal(reasonOf('secret'), 'a value that is not an error')
  try {
    readFileSync('/nowhere/holiday.png')
    assert.fail()
  } catch (error) {
    assert.equal(reasonOf(error), 'Error (ENOENT)')
  }
})
