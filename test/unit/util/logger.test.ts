import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { InvalidInputError } from '../../../src/util/errors.ts'
import { reasonOf } from '../../../src/util/logger.ts'

test('reasonOf returns the message of our own errors, and only name and code of others', () => {
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
