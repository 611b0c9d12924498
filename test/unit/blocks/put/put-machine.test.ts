import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BEHIND_MAX } from '../../../../src/blocks/constants.ts'
import type { Bits } from '../../../../src/blocks/put/bits.ts'
import { PutMachine } from '../../../../src/blocks/put/put-machine.ts'
import {
  type BlockEvent,
  newPutState,
  type PutAsk,
  type PutEvent,
  type PutRule
} from '../../../../src/blocks/put/put-state.ts'
import { leastCopies, reachedBy } from '../../../../src/blocks/put/yes.ts'
import { rankingOf } from './rankings.ts'

const ALL = Number.POSITIVE_INFINITY
const NOTHING: Bits = new Uint8Array(0)

/** A put in a network of these members, all of which are connected unless the test says otherwise. */
function putOf(order: string[], rule: Partial<PutRule> = {}, here: string[] = order.filter(peer => peer !== 'self')) {
  const state = newPutState({ self: 'self', replicas: 2, ack: undefined, hasBlocks: true, ...rule })
  state.uplink = 'wide'
  const machine = new PutMachine(state, rankingOf(...order))
  /** Tells the machine what happens, and returns its requests as text. */
  const tell = (...events: PutEvent[]): string[] => events.flatMap(event => machine.handle(event)).map(textOf)
  for (const peer of here) tell({ type: 'joined', peer })
  return { machine, state, tell }
}

function textOf(ask: PutAsk): string {
  if (ask.ask === 'confirm') return `confirm ${ask.peer} ${[...ask.chunks].map(byte => byte.toString(2)).join(' ')}`
  if (ask.ask === 'answer') return ask.isYes ? 'yes' : 'no'
  return [ask.ask, 'peer' in ask ? ask.peer : '', 'key' in ask ? ask.key : ''].filter(Boolean).join(' ')
}

const block = (chunk: number | null, key = `chunk ${chunk}`): BlockEvent => ({
  type: 'block',
  key,
  digest: new Uint8Array(32),
  chunk,
  isPulled: true
})
const answer = (
  peer: string,
  chunk: number,
  state: 'kept' | 'added' | 'full' | 'lacking' | 'refused' | 'failed'
): PutEvent => ({
  type: 'answer',
  peer,
  key: `chunk ${chunk}`,
  answer: state
})
const confirmed = (peer: string, lacking: Bits | null = NOTHING): PutEvent => ({ type: 'confirmed', peer, lacking })
const pushed = (peer: string, verdict: 'ok' | 'lacking' | 'refused' | 'failed' = 'ok'): PutEvent => ({
  type: 'pushed',
  peer,
  answer: verdict
})
const silent = (peer: string, is = true): PutEvent => ({ type: 'silent', peer, is })
const root: PutEvent = { type: 'root', hasNodes: true }
const record: PutEvent = { type: 'record' }
const own = (isHeld = true): PutEvent => ({ type: 'own', isHeld })

test('a block goes to its owners, and to the next in rank if they are too few', () => {
  assert.deepEqual(putOf(['a', 'self', 'b']).tell(block(0)), ['keep a chunk 0'])
  assert.deepEqual(putOf(['away', 'self', 'b', 'c'], {}, ['b', 'c']).tell(block(0)), ['keep b chunk 0'])
  assert.deepEqual(putOf(['a', 'b', 'c', 'self']).tell(block(0)), ['keep a chunk 0', 'keep b chunk 0'])
  assert.deepEqual(putOf(['a', 'b', 'self'], {}).tell(block(null, 'node')), ['keep a node', 'keep b node'])
  assert.deepEqual(putOf(['self']).tell(block(0)), ['placed chunk 0', 'drop chunk 0'])
})

for (const state of ['full', 'lacking', 'refused', 'failed'] as const)
  test(`a member that says ${state} is replaced by the next in rank, at once`, () => {
    const { tell } = putOf(['a', 'self', 'b', 'c'])
    tell(block(0))
    assert.deepEqual(tell(answer('a', 0, state)), ['keep b chunk 0'])
    assert.deepEqual(tell(answer('b', 0, 'kept')), ['placed chunk 0', 'drop chunk 0'])
  })

test('the record of a small file goes to each member with its block, and is pushed only to those that did not add it', () => {
  const { tell, state } = putOf(['a', 'b', 'self'], { ack: 3 })
  assert.deepEqual(tell(block(0)), ['keep a chunk 0', 'keep b chunk 0'])
  assert.deepEqual(tell({ type: 'root', hasNodes: false }, record, own()), ['check-own'])
  assert.deepEqual(tell(answer('a', 0, 'added')), [])
  assert.deepEqual(reachedBy(state), ['self', 'a'])
  assert.deepEqual(tell(answer('b', 0, 'kept')), ['placed chunk 0', 'drop chunk 0', 'push b', 'link'])
  assert.deepEqual(tell(pushed('b')), ['yes'])
})

test('a member that does not answer for a small file and its record is replaced by the next in rank', () => {
  const { tell } = putOf(['a', 'self', 'b'])
  tell(block(0), { type: 'root', hasNodes: false }, record, own())
  assert.deepEqual(tell(answer('a', 0, 'failed')), ['keep b chunk 0'])
  assert.deepEqual(tell(answer('b', 0, 'added')), ['placed chunk 0', 'drop chunk 0', 'link', 'yes'])
})

test('a silent member is replaced by the next in rank, and its late answer still counts', () => {
  const { tell, state } = putOf(['a', 'self', 'b'])
  tell(block(0))
  assert.deepEqual(tell(silent('a')), ['keep b chunk 0'])
  assert.deepEqual(tell(answer('b', 0, 'kept')), ['placed chunk 0'])
  // Nobody waits for it any more, and no further block is sent to it while there is another.
  assert.deepEqual(tell(block(1)), ['keep b chunk 1'])
  assert.deepEqual(tell(answer('a', 0, 'kept')), ['drop chunk 0'])
  assert.equal(state.members.get('a')?.counted[0], 1)
})

test('a silent member is waited for if there is nobody else, unless it has failed before', () => {
  const { tell } = putOf(['a', 'self'])
  tell(block(0))
  assert.deepEqual(tell(silent('a')), [])
  assert.deepEqual(tell({ type: 'avoided', peer: 'a', is: true }), ['placed chunk 0'])
  assert.deepEqual(tell(block(1)), ['placed chunk 1', 'drop chunk 1'])
})

test('a member that is best avoided is asked after all others', () => {
  const { tell } = putOf(['a', 'self', 'b'])
  tell({ type: 'avoided', peer: 'a', is: true })
  assert.deepEqual(tell(block(0)), ['keep b chunk 0'])
  assert.deepEqual(tell(answer('b', 0, 'full')), ['keep a chunk 0'])
})

test('a member with too many unanswered blocks is not asked for more', () => {
  const { tell } = putOf(['a', 'b', 'self'], { replicas: 3 })
  for (let chunk = 0; chunk < BEHIND_MAX; chunk++) tell(block(chunk), answer('a', chunk, 'kept'))
  assert.deepEqual(tell(block(BEHIND_MAX)), [`keep a chunk ${BEHIND_MAX}`])
})

test('the debt of a full owner passes to the next in rank, even if that member is away', () => {
  const { tell, machine } = putOf(['a', 'self', 'away', 'b'], {}, ['a', 'b'])
  tell(block(0), answer('a', 0, 'full'), answer('b', 0, 'kept'))
  assert.deepEqual([...machine.owedBy()], [['away', 1]])
})

test('nobody is asked in place of a full owner if this member inherits from it and there are enough copies', () => {
  const { tell, machine } = putOf(['a', 'b', 'self', 'c'])
  tell(block(0))
  assert.deepEqual(tell(answer('a', 0, 'full')), [])
  assert.deepEqual([...machine.owedBy()], [['b', 1]])
})

test('a block that occurs several times is placed once, and counts for each chunk', () => {
  const { tell, state } = putOf(['a', 'self'])
  tell(block(0))
  assert.deepEqual(tell(block(1, 'chunk 0')), [])
  tell(answer('a', 0, 'kept'))
  assert.deepEqual(tell({ ...block(2, 'chunk 0'), sameAs: 0 }), [])
  assert.deepEqual([...(state.members.get('a')?.counted ?? [])], [0b111])
  assert.deepEqual([...(state.members.get('a')?.owed ?? [])], [0b111])
})

/** A put of two chunks that `a` keeps, in a network of four. */
function placed(rule: Partial<PutRule> = {}) {
  const put = putOf(['a', 'self', 'b', 'c'], rule)
  put.tell(block(0), block(1), answer('a', 0, 'kept'), answer('a', 1, 'kept'))
  return put
}

test('a put says yes once two members, this one among them, have confirmed and acknowledged', () => {
  const { tell, state } = placed()
  assert.deepEqual(tell(root), ['confirm a 11'])
  assert.deepEqual(tell(confirmed('a')), ['link'])
  assert.deepEqual(tell(record), ['check-own', 'push a'])
  assert.deepEqual(tell(pushed('a')), [])
  assert.deepEqual(tell(own()), ['yes'])
  assert.deepEqual(reachedBy(state), ['self', 'a'])
})

for (const [when, event] of [
  ['does not confirm the root', confirmed('a', null)],
  ['goes away before it confirms the root', { type: 'left', peer: 'a' }],
  ['is silent when it is to confirm the root', silent('a')]
] as Array<[string, PutEvent]>)
  test(`if the only keeper ${when}, the next in rank is asked for all that it kept`, () => {
    const { tell, state } = placed()
    tell(root)
    assert.deepEqual(tell(event), ['confirm b 11'])
    assert.deepEqual(tell(confirmed('b')), ['link'])
    assert.deepEqual(tell(record, own(), pushed('b')), ['check-own', 'push b', 'yes'])
    assert.deepEqual(reachedBy(state), ['self', 'b'])
  })

for (const [when, event] of [
  ['does not answer the push', pushed('a', 'failed')],
  ['refuses the record', pushed('a', 'refused')],
  ['goes away before it acknowledges the record', { type: 'left', peer: 'a' }],
  ['is silent when the record is pushed to it', silent('a')]
] as Array<[string, PutEvent]>)
  test(`if the only keeper ${when}, the next in rank is asked before the put says yes`, () => {
    const { tell, state } = placed()
    tell(root, confirmed('a'), record, own())
    assert.deepEqual(tell(event), ['confirm b 11'])
    assert.deepEqual(tell(confirmed('b')), ['push b'])
    assert.deepEqual(tell(pushed('b')), ['yes'])
    assert.deepEqual(reachedBy(state), ['self', 'b'])
  })

test('if one chunk is lost, the next in rank is asked for that chunk only, and the keeper is told what still counts', () => {
  const { tell } = placed()
  tell(root)
  assert.deepEqual(tell(confirmed('a', Uint8Array.of(0b10))), ['confirm a 1', 'confirm b 10'])
  tell(confirmed('a'), confirmed('b'), record, own(), pushed('a'))
  assert.deepEqual(tell(pushed('b')), ['yes'])
})

test('a member that lacks blocks when the record is pushed is asked to keep them once more', () => {
  const { tell } = placed()
  tell(root, confirmed('a'), record, own())
  assert.deepEqual(tell(pushed('a', 'lacking')), ['confirm a 11'])
  assert.deepEqual(tell(confirmed('a')), ['push a'])
  assert.deepEqual(tell(pushed('a')), ['yes'])
})

test('a put with nobody left to ask says yes to its own copy alone', () => {
  const { tell, state } = putOf(['a', 'self'], {}, [])
  assert.deepEqual(tell(block(0), { type: 'root', hasNodes: false }), ['placed chunk 0', 'drop chunk 0', 'link'])
  assert.deepEqual(tell(record, own()), ['check-own', 'yes'])
  assert.deepEqual(reachedBy(state), ['self'])
})

test('a put whose own copy is gone restores it, and says no if that fails and nobody else has the file', () => {
  const { tell, state } = putOf(['a', 'self'], {}, [])
  tell(block(0), root, record)
  assert.deepEqual(tell(own(false)), ['restore-own'])
  assert.deepEqual(tell(own(false)), ['no'])
  assert.deepEqual([reachedBy(state), leastCopies(state)], [[], 0])
})

test('a put whose own copy is gone counts the copy again once it is restored; if it cannot be, the put asks another member', () => {
  const restored = placed()
  restored.tell(root, confirmed('a'), record, pushed('a'))
  assert.deepEqual(restored.tell(own(false), own(true)), ['restore-own', 'yes'])
  const lost = placed()
  lost.tell(root, confirmed('a'), record, pushed('a'), own(false))
  assert.deepEqual(lost.tell(own(false)), ['confirm b 11'])
  assert.deepEqual(lost.tell(confirmed('b'), pushed('b')), ['push b', 'yes'])
  assert.deepEqual(reachedBy(lost.state), ['a', 'b'])
})

test('a put waits for an explicit number of copies until it is late, and asks members that connect', () => {
  const { tell } = putOf(['a', 'b', 'self'], { ack: 3 }, ['a'])
  tell(block(0), answer('a', 0, 'kept'))
  assert.deepEqual(tell(root, confirmed('a')), ['confirm a 1', 'link'])
  assert.deepEqual(tell(record, own(), pushed('a'), { type: 'tick' }), ['check-own', 'push a'])
  assert.deepEqual(tell({ type: 'joined', peer: 'b' }), ['confirm b 1'])
  assert.deepEqual(tell(confirmed('b', null)), [])
  // The member has failed, and is asked again after a moment.
  assert.deepEqual(tell({ type: 'tick' }), ['confirm b 1'])
  const late = putOf(['a', 'self'], { ack: 2 }, [])
  late.tell(block(0), root, record, own())
  assert.deepEqual(late.tell({ type: 'late' }), ['no'])
})

test('`all` means every member that keeps blocks, connected or not, and those that may keep some', () => {
  const { tell } = putOf(['a', 'away', 'self'], { ack: ALL, replicas: ALL }, ['a', 'new'])
  assert.deepEqual(tell(block(0)), ['keep a chunk 0', 'keep new chunk 0'])
  tell(answer('a', 0, 'kept'), answer('new', 0, 'kept'), root, confirmed('a'), confirmed('new'), record, own())
  assert.deepEqual(tell(pushed('a'), pushed('new'), { type: 'late' }), ['no'])
})

test('a file that wants one copy waits for nobody', () => {
  const { tell } = putOf(['a', 'self'], { replicas: 1 })
  assert.deepEqual(tell(block(0)), ['keep a chunk 0', 'placed chunk 0'])
})

test('a record without blocks is pushed to everybody, and two copies of it are enough', () => {
  const { tell } = putOf(['self'], { hasBlocks: false }, ['reader', 'other'])
  assert.deepEqual(tell(record), ['push reader', 'push other', 'link'])
  assert.deepEqual(tell(pushed('reader', 'failed')), [])
  assert.deepEqual(tell(pushed('other')), ['yes'])
})

test('a view that changes during a put decides who owes what', () => {
  const { tell, machine } = placed()
  assert.deepEqual([...machine.owedBy()], [['a', 2]])
  tell({ type: 'view', ranking: rankingOf('b', 'self', 'a') })
  assert.deepEqual([...machine.owedBy()], [['b', 2]])
})

test('a member that keeps lacking what it said it had is not asked for ever', () => {
  const { tell } = putOf(['a', 'self'])
  tell(block(0), answer('a', 0, 'kept'), root, confirmed('a'), record, own())
  let asks = 0
  for (let asked = tell(pushed('a', 'lacking')); asked.length > 0 && !asked.includes('yes'); asks++)
    asked = asked[0] === 'push a' ? tell(pushed('a', 'lacking')) : tell(confirmed('a'))
  assert.ok(asks < 10, `${asks}`)
})

test('a member that has lost everything it acknowledged is not named among those that have the file', () => {
  const { tell, state } = putOf(['a', 'self'])
  tell(block(0), block(1), answer('a', 0, 'kept'), root, confirmed('a'), record, own(), pushed('a'))
  assert.deepEqual(tell(answer('a', 1, 'kept')), ['placed chunk 1', 'drop chunk 1', 'confirm a 11'])
  assert.deepEqual(tell(confirmed('a', Uint8Array.of(3))), ['link', 'yes'])
  assert.deepEqual(reachedBy(state), ['self'])
})
