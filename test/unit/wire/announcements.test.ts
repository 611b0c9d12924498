import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Announcements } from '../../../src/wire/announcements.ts'
import { ANNOUNCED_AGAIN_MS, ANNOUNCERS_MAX } from '../../../src/wire/constants.ts'
import { ManualClock } from '../../fixtures/clock.ts'

test('an announcement is reported at once if it is new, and again after a while if it is the same', () => {
  const clock = new ManualClock()
  const announcements = new Announcements(clock)
  assert.equal(announcements.mustTell('p', ['/a', '/b']), true)
  assert.equal(announcements.mustTell('p', ['/b', '/a']), false, 'the order says nothing')
  assert.equal(announcements.mustTell('q', ['/a', '/b']), true)
  assert.equal(announcements.mustTell('p', ['/a']), true)
  clock.advance(ANNOUNCED_AGAIN_MS - 1)
  assert.equal(announcements.mustTell('p', ['/a']), false)
  clock.advance(1)
  assert.equal(announcements.mustTell('p', ['/a']), true)
})

test('the memory of announcements is bounded, and the newest are kept', () => {
  const announcements = new Announcements(new ManualClock())
  for (let i = 0; i <= ANNOUNCERS_MAX; i++) announcements.mustTell(`p${i}`, ['/a'])
  assert.equal(announcements.mustTell(`p${ANNOUNCERS_MAX}`, ['/a']), false)
  assert.equal(announcements.mustTell('p0', ['/a']), true)
})
