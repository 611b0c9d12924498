import assert from 'node:assert/strict'
import { test } from 'node:test'
import { closest } from '../../../src/terminal/closest.ts'

test('the closest name is suggested, and none if no name is similar', () => {
  const names = ['put', 'get', 'ls', 'mv', 'rm', 'status', 'stat', 'members', 'versions']
  const cases: Array<[string, string | undefined]> = [
    ['lst', 'ls'],
    ['stauts', 'status'],
    ['member', 'members'],
    ['PUT', undefined],
    ['version', 'versions'],
    ['xy', undefined],
    ['frobnicate', undefined],
    ['', undefined]
  ]
  for (const [text, meant] of cases) assert.equal(closest(text, names), meant, text)
})
