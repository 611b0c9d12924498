import assert from 'node:assert/strict'
import { test } from 'node:test'
import { peerIdOf } from '../../../src/format/peer-id.ts'
import { hlcAt } from '../../../src/format/stamp.ts'
import { changedPeers, findOut, isSameView, makeView, type Status } from '../../../src/members/view.ts'
import { toHex } from '../../../src/util/bytes.ts'

const NOW = 1_700_000_000_000
const MINUTE = 60_000
const OUT_AFTER = 10 * MINUTE

/** A member whose status is some minutes old. */
function status(n: number, minutesOld: number, more: Partial<Status> = {}): Status {
  const key = Buffer.alloc(32, n)
  return {
    peer: peerIdOf(key),
    key,
    hlc: hlcAt(NOW - minutesOld * MINUTE),
    role: 'writer',
    weight: 100,
    zone: null,
    state: 'in',
    outAfterMs: OUT_AFTER,
    ...more
  }
}

/** Who is out, of members with statuses of these ages. */
function out(...minutes: number[]): number[] {
  const statuses = minutes.map((old, n) => status(n + 1, old))
  const found = findOut(statuses).out
  return statuses.flatMap(({ peer }, n) => (found.has(peer) ? [n] : []))
}

test('a member that lags behind the median by its own outAfter is out', () => {
  assert.deepEqual(out(0, 0, 9), [])
  assert.deepEqual(out(0, 0, 10), [2])
  assert.deepEqual(out(0, 0, 0, 1_000_000), [3])
  const patient = [status(1, 0), status(2, 0), status(3, 30, { outAfterMs: 60 * MINUTE })]
  assert.equal(findOut(patient).out.size, 0)
})

test('half of the members never put the other half out, and of two neither is out', () => {
  assert.deepEqual(out(0, 0, 60, 60), [])
  assert.deepEqual(out(0, 60), [])
  assert.deepEqual(out(60, 0), [])
  assert.deepEqual(out(0), [])
  assert.deepEqual(out(), [])
  assert.deepEqual(out(0, 0, 0, 60, 60, 60), [])
  assert.deepEqual(out(0, 0, 0, 0, 60, 60, 60).length, 3)
})

test('five members may shrink to two, one after another', () => {
  assert.deepEqual(out(0, 0, 30, 60, 90), [2, 3, 4])
  assert.deepEqual(out(0, 0, 0, 60, 90), [3, 4])
  // The two that are left stay in, however far apart, since one of them cannot put the other out.
  assert.deepEqual(out(0, 30, 60, 90, 120), [2, 3, 4])
  assert.deepEqual(out(0, 0, 30, 30, 30), [])
})

test('clocks that differ by minutes put no member out', () => {
  assert.deepEqual(out(-4, 0, 5), [])
  assert.deepEqual(out(-4, -4, 0, 0, 5.9), [])
})

test('a member that keeps nothing is not part of the median, and can be out', () => {
  const statuses = [
    status(1, 0, { weight: 0 }),
    status(2, 0, { weight: 0 }),
    status(3, 60),
    status(4, 60),
    status(5, 100, { weight: 0 })
  ]
  assert.deepEqual([...findOut(statuses).out], [statuses[4]?.peer])
})

test('the median is taken over the members that are in', () => {
  assert.equal(findOut([]).medianHlc, undefined)
  assert.equal(findOut([status(1, 0), status(2, 3), status(3, 5)]).medianHlc, hlcAt(NOW - 3 * MINUTE))
  assert.equal(
    findOut([status(1, 0), status(2, 1), status(3, 60), status(4, 90), status(5, 90)]).medianHlc,
    hlcAt(NOW - MINUTE)
  )
})

test('the order of the statuses makes no difference', () => {
  const statuses = [status(1, 0), status(2, 11), status(3, 1), status(4, 99), status(5, 2)]
  const forwards = findOut(statuses)
  const backwards = findOut(statuses.toReversed())
  assert.deepEqual([...forwards.out].sort(), [...backwards.out].sort())
  assert.equal(toHex(makeView(statuses, forwards.out).id), toHex(makeView(statuses.toReversed(), backwards.out).id))
})

test('the id of a view depends on what ranks are computed from, and on nothing else', () => {
  const base = [status(1, 0), status(2, 0, { zone: 'cellar' })]
  const id = toHex(makeView(base, new Set()).id)
  const [first, second] = base as [Status, Status]
  const idWith = (more: Partial<Status>, out: string[] = []) =>
    toHex(makeView([first, { ...second, ...more }], new Set(out)).id)
  assert.equal(idWith({}), id)
  for (const same of [{ hlc: 5n }, { state: 'full' as const }, { role: 'storage' as const }, { outAfterMs: 1 }])
    assert.equal(idWith(same), id, Object.keys(same)[0])
  const others = [
    idWith({ weight: 101 }),
    idWith({ zone: null }),
    idWith({ zone: 'attic' }),
    idWith({ state: 'draining' }),
    idWith({ key: Buffer.alloc(32, 9) }),
    idWith({}, [second.peer]),
    toHex(makeView([first], new Set()).id)
  ]
  assert.equal(new Set([id, ...others]).size, others.length + 1)
})

test('the id of a view is frozen', () => {
  const view = makeView(
    [status(2, 0, { zone: 'cellar', state: 'draining' }), status(1, 0)],
    new Set([status(1, 0).peer])
  )
  assert.equal(toHex(view.id), 'fcc3c2b221001b24e7a198be9bd4c39a7169f1646cc109ed616fd6e1ee8e06ae')
})

test('a view shows who may read, and who is full', () => {
  const view = makeView([status(1, 0, { role: 'storage' }), status(2, 0, { state: 'full' })], new Set())
  assert.deepEqual(
    view.members.map(({ canRead, isFull }) => [canRead, isFull]),
    [
      [false, false],
      [true, true]
    ]
  )
  assert.ok(isSameView(view, makeView([status(1, 5, { role: 'storage' }), status(2, 9, { state: 'full' })], new Set())))
  assert.ok(!isSameView(view, makeView([status(1, 0, { role: 'storage' }), status(2, 0)], new Set())))
  assert.ok(!isSameView(view, makeView([status(1, 0), status(2, 0, { state: 'full' })], new Set())))
})

test('a change of the view names the members that came, went or changed', () => {
  const [a, b, c] = [status(1, 0), status(2, 0), status(3, 0)]
  const view = makeView([a, b], new Set())
  assert.deepEqual(changedPeers(view, makeView([a, b], new Set())), [])
  assert.deepEqual(changedPeers(view, makeView([a, b, c], new Set())), [c.peer])
  assert.deepEqual(changedPeers(view, makeView([a], new Set())), [b.peer])
  assert.deepEqual(changedPeers(view, makeView([a, b], new Set([b.peer]))), [b.peer])
  assert.deepEqual(changedPeers(view, makeView([{ ...a, state: 'full' }, b], new Set())), [a.peer])
})
