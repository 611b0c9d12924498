import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as contract from '../../../src/contract/constants.ts'
import * as fs from '../../../src/fs/constants.ts'
import * as members from '../../../src/members/constants.ts'

test('a file that is small for the API is small for the node', () => {
  assert.equal(contract.SMALL_FILE_BYTES_MAX, fs.SMALL_FILE_BYTES_MAX)
})

test('config knows the default of versionDays', () => {
  assert.equal(contract.VERSION_DAYS, members.VERSION_DAYS)
})
