import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BEHIND_MAX, CHAIN_SERVES_MAX, UNKNOWN_UPLINK_BLOCKS } from '../../../../src/blocks/constants.ts'
import { PutMachine } from '../../../../src/blocks/put/put-machine.ts'
import { newPutState, type PutEvent, type PutRule } from '../../../../src/blocks/put/put-state.ts'
import type { UplinkWidth } from '../../../../src/blocks/uplink.ts'
import { rankingOf } from './rankings.ts'

const ALL = Number.POSITIVE_INFINITY

/** A put to these members over a thin uplink. */
function putOf(members: string[], rule: Partial<PutRule> = {}, width: UplinkWidth = 'thin') {
  const state = newPutState({ self: 'self', replicas: ALL, ack: ALL, hasBlocks: true, ...rule })
  const machine = new PutMachine(state, rankingOf(...members, 'self'))
  /** Tells the machine what happens. Returns which member it asks for which block, and from whom if not from us. */
  const tell = (...events: PutEvent[]): string[] =>
    events
      .flatMap(event => machine.handle(event))
      .flatMap(ask => {
        if (ask.ask !== 'keep') return []
        return ask.from === undefined ? `${ask.peer} ${ask.key}` : `${ask.peer} ${ask.key} from ${ask.from}`
      })
  for (const peer of members) tell({ type: 'joined', peer })
  tell({ type: 'uplink', width })
  return { machine, state, tell }
}

const block = (chunk: number, isPulled = true): PutEvent => ({
  type: 'block',
  key: `${chunk}`,
  digest: new Uint8Array(32),
  chunk,
  isPulled
})
const answer = (
  peer: string,
  chunk: number,
  state: 'kept' | 'full' | 'lacking' | 'refused' | 'failed' = 'kept'
): PutEvent => ({ type: 'answer', peer, key: `${chunk}`, answer: state })
const silent = (peer: string, is = true): PutEvent => ({ type: 'silent', peer, is })
const wait: PutEvent = { type: 'wait' }

test('over a thin uplink a block goes to one member, and the next pulls it from there', () => {
  const { tell, state } = putOf(['a', 'b', 'c'])
  assert.deepEqual(tell(block(0)), ['a 0'])
  assert.deepEqual(tell(answer('a', 0)), ['b 0 from a', 'c 0 from a'])
  assert.deepEqual(tell(answer('b', 0), answer('c', 0)), [])
  assert.deepEqual([state.heldCount, state.blocks.size], [0, 0])
})

test('each block goes first to the member that pulls the fewest blocks from us', () => {
  const { tell } = putOf(['a', 'b'])
  assert.deepEqual(tell(block(0), block(1), block(2)), ['a 0', 'b 1', 'a 2'])
  assert.deepEqual(tell(answer('b', 1)), ['a 1 from b'])
  assert.deepEqual(tell(block(3), block(4), block(5)), ['b 3', 'b 4', 'a 5'])
})

test('over a wide uplink, and if it turns out to be wide, every member pulls from us', () => {
  const wide = putOf(['a', 'b'], {}, 'wide')
  assert.deepEqual(wide.tell(block(0)), ['a 0', 'b 0'])
  const { tell } = putOf(['a', 'b'])
  tell(block(0), block(1))
  assert.deepEqual(tell({ type: 'uplink', width: 'wide' }), ['b 0', 'a 1'])
})

test('a block that travels with the request is sent to all members at once', () => {
  assert.deepEqual(putOf(['a', 'b']).tell(block(0, false)), ['a 0', 'b 0'])
})

test('while the uplink is unknown, the first blocks of a put go to all members at once', () => {
  const { tell } = putOf(['a', 'b'], {}, 'unknown')
  for (let chunk = 0; chunk < UNKNOWN_UPLINK_BLOCKS; chunk++)
    assert.deepEqual(tell(block(chunk)), [`a ${chunk}`, `b ${chunk}`])
  assert.deepEqual(tell(block(UNKNOWN_UPLINK_BLOCKS)), [`a ${UNKNOWN_UPLINK_BLOCKS}`])
})

for (const state of ['full', 'lacking', 'refused', 'failed'] as const)
  test(`if the first member says ${state}, the next pulls from us, and the last from there`, () => {
    const { tell } = putOf(['a', 'b', 'c'])
    tell(block(0))
    assert.deepEqual(tell(answer('a', 0, state)), ['b 0'])
    assert.deepEqual(tell(answer('b', 0)), ['c 0 from b'])
  })

test('a put does not wait for a first member that is silent, and uses its copy if it comes after all', () => {
  const { tell } = putOf(['a', 'b', 'c'])
  tell(block(0))
  assert.deepEqual(tell(silent('a')), ['b 0'])
  assert.deepEqual(tell(silent('a', false), answer('a', 0)), ['c 0 from a'])
})

test('a member that fell silent or failed after it had kept a block is no source of it', () => {
  for (const event of [silent('a'), { type: 'left', peer: 'a' }, { type: 'avoided', peer: 'a', is: true }] as const) {
    const { tell } = putOf(['a', 'b'])
    for (let chunk = 0; chunk <= CHAIN_SERVES_MAX; chunk++) tell(block(2 * chunk), block(2 * chunk + 1))
    for (let chunk = 0; chunk < CHAIN_SERVES_MAX; chunk++) tell(answer('a', 2 * chunk))
    assert.deepEqual(tell(answer('a', 2 * CHAIN_SERVES_MAX)), [], 'it serves enough blocks')
    assert.ok(tell(event).includes(`b ${2 * CHAIN_SERVES_MAX}`), event.type)
  }
})

test('at most a few blocks are pulled from one member at the same time; the others wait until it has served one', () => {
  const { tell } = putOf(['a', 'b'])
  const chunks = Array.from({ length: CHAIN_SERVES_MAX + 2 }, (_, i) => 2 * i)
  for (const chunk of chunks) tell(block(chunk), block(chunk + 1))
  const asked = tell(...chunks.map(chunk => answer('a', chunk)))
  assert.deepEqual(
    asked,
    chunks.slice(0, CHAIN_SERVES_MAX).map(chunk => `b ${chunk} from a`)
  )
  assert.deepEqual(tell(answer('b', 0)), [`b ${chunks[CHAIN_SERVES_MAX]} from a`])
  // A member that could not get it is no longer served either.
  assert.deepEqual(tell(answer('b', 2, 'lacking')), [`b ${chunks[CHAIN_SERVES_MAX + 1]} from a`])
})

test('a member for which a block is held is not asked any more once it has gone, and holds nothing up', () => {
  const { tell, state } = putOf(['a', 'b', 'c'], { ack: undefined })
  tell(block(0), { type: 'left', peer: 'b' })
  assert.deepEqual(tell(answer('a', 0)), ['c 0 from a'])
  tell(answer('c', 0))
  assert.deepEqual([state.heldCount, state.blocks.size, state.members.get('b')?.pending], [0, 0, 0])
})

test('a member that had nothing to do while it waited for a slow one pulls from us, and waits for it no more', () => {
  const { tell } = putOf(['a', 'b'])
  assert.deepEqual(tell(block(0)), ['a 0'])
  assert.deepEqual(tell(wait), [])
  assert.deepEqual(tell(wait), ['b 0'])
  // From now on, the slow member comes last.
  assert.deepEqual(tell(block(1)), ['b 1'])
  assert.deepEqual(tell(answer('b', 1)), ['a 1 from b'])
})

test('a member is not slow while blocks that it pulled are kept, or as long as the one that waits has other blocks to pull', () => {
  const busy = putOf(['a', 'b'])
  busy.tell(block(0), block(1), wait)
  assert.deepEqual(busy.tell(wait, wait), [])
  const active = putOf(['a', 'b'])
  for (let chunk = 0; chunk < 6; chunk++) active.tell(block(chunk))
  active.tell(answer('b', 1), answer('b', 3), answer('b', 5), wait, answer('a', 0))
  assert.deepEqual(active.tell(wait), [])
  assert.deepEqual(active.tell(wait), ['b 2', 'b 4'])
})

test('a member from which others pull too slowly is not used as a source any more', () => {
  const { tell } = putOf(['a', 'b'])
  const last = 2 * CHAIN_SERVES_MAX
  for (let chunk = 0; chunk <= last; chunk += 2) tell(block(chunk), block(chunk + 1), answer('a', chunk))
  for (let chunk = 1; chunk <= last + 1; chunk += 2) tell(answer('b', chunk))
  assert.deepEqual(tell(wait, wait), [`b ${last}`])
  assert.deepEqual(tell(block(last + 2), answer('b', last + 2)).at(-1), `a ${last + 2} from b`)
})

test('if every member is slow, nobody waits for another', () => {
  const { tell } = putOf(['a', 'b'])
  tell(block(0), wait, wait, answer('a', 0), answer('b', 0))
  tell(block(1), wait, wait)
  assert.deepEqual(tell(block(2)), ['a 2', 'b 2'])
})

test('members that are held count as behind, so that a put is not asked to remember ever more blocks', () => {
  const { tell, state } = putOf(['a', 'b'], { ack: undefined })
  for (let chunk = 0; chunk < 2 * BEHIND_MAX; chunk++) tell(block(chunk))
  assert.equal(state.members.get('b')?.pending, BEHIND_MAX)
  assert.ok(state.heldCount <= 2 * BEHIND_MAX)
})

test('a member that is held is asked in its turn after the record was pushed, and its copy is counted', () => {
  const { tell, machine } = putOf(['a', 'b'], { ack: undefined })
  tell(block(0), answer('a', 0), { type: 'root', hasNodes: false }, { type: 'record' })
  machine.handle({ type: 'pushed', peer: 'a', answer: 'ok' })
  assert.deepEqual(machine.handle(answer('b', 0)).at(-1), { ask: 'push', peer: 'b' })
  assert.deepEqual(machine.handle({ type: 'pushed', peer: 'b', answer: 'ok' }), [{ ask: 'answer', isYes: true }])
  assert.deepEqual([...machine.owedBy()], [])
})
