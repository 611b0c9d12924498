import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JOIN_BYTES_MAX, JOIN_PROTOCOL, NONCE_BYTES } from '../../../../src/members/constants.ts'
import { DUPLICATE_MS } from '../../../../src/members/joining/constants.ts'
import { LocalMember } from '../../../../src/members/local-member.ts'
import { serveCalls } from '../../../../src/wire/calls.ts'
import { RefusedError } from '../../../../src/wire/errors.ts'
import { drawCandidate, peerOf } from '../../../fixtures/entrant.ts'
import { timePassesUntil } from '../../../fixtures/pass-time.ts'
import { Setup, SOON } from './setup.ts'

test('the process that was there first and its copy are both told, and the copy is refused', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const secrets = setup.granted('writer', 'laptop')
  const bootstrap = [setup.addressOf(attic)]
  const first = await setup.member('laptop', secrets, { bootstrap })
  await setup.admitted(first, attic)
  const copy = await setup.member('copy', secrets, { bootstrap })
  const areTold = (): boolean => copy.members.standing.isDuplicated && first.members.standing.isDuplicated
  await timePassesUntil(setup.clock, 'both are told', areTold, SOON)
  const { peer } = first
  for (const member of [first, copy, attic])
    assert.ok(
      member.events.some(event => event.event === 'duplicate' && event.peer === peer),
      member.self.name
    )
  assert.equal(attic.members.standing.isDuplicated, false)
  assert.deepEqual(attic.members.admitted, [peer])
  assert.deepEqual(copy.members.admitted, [])
  assert.deepEqual(first.members.admitted, [attic.peer])
  await copy.stop()
  setup.clock.advance(DUPLICATE_MS + 1)
  assert.equal(first.members.standing.isDuplicated, false, 'the warning ends')
})

test('a machine that lost power and came back is not taken for a copy', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const secrets = setup.granted('writer', 'laptop')
  const bootstrap = [setup.addressOf(attic)]
  const before = await setup.member('laptop', secrets, { bootstrap })
  await setup.admitted(before, attic)
  // Its connection stays, with nobody behind it.
  setup.network.silence(before.host as never, attic.host as never)
  const after = await setup.member('laptop again', secrets, { bootstrap })
  await setup.admitted(after, attic)
  assert.deepEqual(after.self.instance, attic.members.admitted.length === 1 ? after.self.instance : undefined)
  for (const member of [after, attic])
    assert.ok(!member.events.some(({ event }) => event === 'duplicate'), member.self.name)
  assert.equal(new LocalMember(secrets, setup.clock, setup.chance).peerId, after.peer)
})

test('a stranger that answers cannot make a member believe that it was copied', async t => {
  const setup = new Setup(t)
  const impostor = setup.network.host('impostor', peerOf(drawCandidate(setup.chance)))
  const asked: unknown[] = []
  serveCalls(impostor, {
    protocol: JOIN_PROTOCOL,
    requestBytesMax: JOIN_BYTES_MAX,
    responseBytesMax: JOIN_BYTES_MAX,
    clock: setup.clock,
    mayAsk: () => true,
    answer: async ({ fields }) => {
      asked.push(fields['do'])
      if (fields['do'] === 'hello')
        return { status: 'ok', fields: { network: setup.admin.network, nonce: Buffer.alloc(NONCE_BYTES) } }
      throw new RefusedError('duplicate')
    }
  })
  await impostor.start()
  t.after(() => impostor.stop())
  const attic = await setup.member('attic', setup.admin, { bootstrap: [impostor.address] })
  const isRejected = (): boolean => attic.events.some(({ event }) => event === 'rejected')
  await timePassesUntil(setup.clock, 'the stranger has answered', isRejected, SOON)
  assert.ok(asked.includes('prove'))
  assert.equal(attic.members.standing.isDuplicated, false)
})
