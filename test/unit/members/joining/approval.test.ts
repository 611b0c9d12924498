import assert from 'node:assert/strict'
import { test } from 'node:test'
import { commitOf } from '../../../../src/format/approval.ts'
import { FUTURE_MS_MAX } from '../../../../src/format/constants.ts'
import { STRANGER_MS } from '../../../../src/members/constants.ts'
import {
  ATTEMPT_MS,
  ATTEMPTS_PER_ORIGIN_MAX,
  CODES_PER_ORIGIN_MAX,
  WAIT_MS
} from '../../../../src/members/joining/constants.ts'
import { placesIn } from '../../../../src/members/joining/entry-client.ts'
import { ManualClock } from '../../../fixtures/clock.ts'
import { grantedIn, peerOf } from '../../../fixtures/entrant.ts'
import { settle, timePassesUntil, whileTimePasses } from '../../../fixtures/pass-time.ts'
import { Setup, SOON, statusOf } from './setup.ts'

test('a machine that a person approves is let in, and is then a member', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const laptop = await setup.entrant(attic)
  const code = await laptop.ask(attic.peer)
  assert.deepEqual(attic.events, [
    { event: 'asking', peer: peerOf(laptop.candidate), code, name: 'laptop', role: 'writer' }
  ])
  assert.equal(attic.members.admitting.waiting, 1)
  const [item] = await attic.members.admitting.attempts()
  assert.deepEqual([item?.code, item?.name, item?.role, item?.isHere], [code, 'laptop', 'writer', true])
  const waiting = laptop.wait(attic.peer)
  await settle()
  const typed = `${code.slice(0, 3).toLowerCase()}-${code.slice(3)}`
  const admitted = await attic.members.admitting.approve(typed, { role: 'writer' })
  assert.deepEqual(admitted, { peerId: peerOf(laptop.candidate), name: 'laptop', role: 'writer' })
  const statements = grantedIn(await waiting)
  assert.equal(attic.members.admitting.waiting, 0)
  await laptop.host.stop()
  await settle()
  const secrets = laptop.secrets(setup.admin.network, statements)
  const member = await setup.member('laptop again', secrets, { bootstrap: [setup.addressOf(attic)] })
  await setup.admitted(member, attic)
  assert.equal(attic.members.member(member.peer)?.role, 'writer')
  member.members.assertMayWrite()
})

test('a machine becomes a reader unless the admin names another role, and a storage member if that is what it asked for', async t => {
  for (const [asked, granted] of [
    ['writer', 'reader'],
    ['reader', 'reader'],
    ['storage', 'storage']
  ] as const) {
    const setup = new Setup(t)
    const attic = await setup.member('attic', setup.admin)
    const laptop = await setup.entrant(attic)
    const code = await laptop.ask(attic.peer, asked)
    assert.equal((await attic.members.admitting.approve(code)).role, granted)
  }
})

test('a machine that a person denies is told so, and gets no other code until its time is over', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const laptop = await setup.entrant(attic)
  const code = await laptop.ask(attic.peer)
  const waiting = laptop.wait(attic.peer)
  await settle()
  assert.equal((await attic.members.admitting.deny(code)).name, 'laptop')
  assert.deepEqual(await waiting, { state: 'denied' })
  await laptop.ask(attic.peer)
  assert.deepEqual(await laptop.wait(attic.peer), { state: 'denied' })
  assert.deepEqual(await attic.members.admitting.attempts(), [])
  await assert.rejects(attic.members.admitting.approve(code), { name: 'UnknownCodeError', code: 'not-found' })
})

test('a machine may wait for ten minutes, across connections, and no longer', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const laptop = await setup.entrant(attic)
  const code = await laptop.ask(attic.peer)
  const waiting = laptop.wait(attic.peer)
  await settle()
  assert.deepEqual(await laptop.wait(attic.peer), { state: 'waiting' }, 'a second question is answered at once')
  setup.clock.advance(WAIT_MS)
  assert.deepEqual(await waiting, { state: 'waiting' })
  setup.clock.advance(2 * STRANGER_MS)
  await settle()
  assert.ok(laptop.host.isConnected(attic.peer), 'a machine that waits is not hung up on')
  await laptop.host.hangUp(attic.peer)
  await settle()
  assert.equal((await attic.members.admitting.attempts())[0]?.isHere, false)
  await setup.dial(laptop.host, attic)
  assert.equal((await attic.members.admitting.attempts())[0]?.code, code)
  setup.clock.advance(ATTEMPT_MS - 2 * WAIT_MS - 2 * STRANGER_MS)
  const last = laptop.wait(attic.peer)
  await settle()
  setup.clock.advance(WAIT_MS)
  assert.deepEqual(await last, { state: 'over' })
  assert.deepEqual(await attic.members.admitting.attempts(), [])
})

test('a machine that has waited in vain is told that its time is over, even if an earlier grant of it is void', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const cellar = await setup.member('cellar', setup.granted('admin', 'cellar'))
  const { token } = await attic.members.admitting.invite()
  grantedIn(await (await setup.entrant(attic, { name: 'first' })).enter(attic.peer, token))
  setup.clock.advance(5)
  const laptop = await setup.entrant(cellar)
  await attic.log.receive(grantedIn(await laptop.enter(cellar.peer, token)), cellar.peer)
  await setup.dial(laptop.host, attic)
  await laptop.ask(attic.peer)
  setup.clock.advance(ATTEMPT_MS - 5_000)
  await settle()
  await laptop.client.hello(attic.peer)
  const waiting = laptop.wait(attic.peer)
  await settle()
  setup.clock.advance(5_000)
  assert.deepEqual(await waiting, { state: 'over' })
})

test('a machine that was let in while it was away gets its grant from any member', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const reader = await setup.member('reader', setup.granted('reader'), { bootstrap: [setup.addressOf(attic)] })
  await setup.admitted(reader, attic)
  const laptop = await setup.entrant(attic)
  const code = await laptop.ask(attic.peer)
  await laptop.host.hangUp(attic.peer)
  await settle()
  await attic.members.admitting.approve(code)
  await setup.dial(laptop.host, attic)
  assert.equal(await laptop.askAgain(attic.peer), 'granted', 'it shows no code')
  await timePassesUntil(
    setup.clock,
    'the reader knows',
    () => reader.members.member(peerOf(laptop.candidate)) !== undefined,
    SOON
  )
  await setup.dial(laptop.host, reader)
  const statements = grantedIn(await laptop.wait(reader.peer))
  assert.equal(statements.length, 2)
})

test('any connected admin sees what waits at another, lets it in and turns it away', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const cellar = await setup.member('cellar', setup.granted('admin', 'cellar'), { bootstrap: [setup.addressOf(attic)] })
  await setup.admitted(attic, cellar)
  const [laptop, phone] = [await setup.entrant(attic), await setup.entrant(attic, { name: 'phone' })]
  const code = await laptop.ask(attic.peer)
  const waiting = laptop.wait(attic.peer)
  const [item] = await cellar.members.admitting.attempts()
  assert.deepEqual([item?.code, item?.at, item?.isHere], [code, attic.peer, true])
  await cellar.members.admitting.approve(code, { role: 'writer' })
  grantedIn(await whileTimePasses(setup.clock, waiting, SOON))
  const other = await phone.ask(attic.peer)
  const told = phone.wait(attic.peer)
  await cellar.members.admitting.deny(other)
  assert.deepEqual(await told, { state: 'denied' })
})

test('nobody but an admin is asked, asks others, or lets anyone in', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  for (const role of ['writer', 'reader', 'storage'] as const) {
    const member = await setup.member(role, setup.granted(role), { bootstrap: [setup.addressOf(attic)] })
    await setup.admitted(attic, member)
    const laptop = await setup.entrant(member, { name: `at ${role}` })
    assert.equal(await statusOf(laptop.ask(member.peer)), 'forbidden')
    const phone = await setup.entrant(attic, { name: `phone of ${role}` })
    const code = await phone.ask(attic.peer)
    assert.deepEqual(await member.members.admitting.attempts(), [])
    const { admitting } = member.members
    for (const work of [
      admitting.approve(code),
      admitting.deny(code),
      admitting.changeRole(member.peer, 'admin'),
      admitting.invite(),
      admitting.revokeInvite('abcdef')
    ])
      await assert.rejects(work, { code: 'not-allowed', message: /only an admin .* this machine is a/ }, role)
    await attic.members.admitting.deny(code)
  }
})

test('a request without the right nonce, or with a nonce that was used, is refused', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const laptop = await setup.entrant(attic)
  const { client, x25519 } = laptop
  const nonce = setup.chance.bytes(32)
  const request = { nonce, name: 'laptop', role: 'writer' as const, x25519 }
  const ask = () => statusOf(client.ask(attic.peer, request))
  assert.equal(await ask(), 'invalid', 'without a hello')
  await client.hello(attic.peer)
  assert.equal(await ask(), 'invalid', 'without a commitment')
  await client.hello(attic.peer, commitOf(setup.chance.bytes(32)))
  assert.equal(await ask(), 'invalid', 'with another nonce')
  await client.hello(attic.peer, commitOf(nonce))
  assert.equal(await ask(), 'ok')
  assert.equal(await ask(), 'invalid', 'a second time')
  assert.equal(attic.events.length, 1)
})

test('a machine whose clock is off is told so', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  for (const aheadMs of [FUTURE_MS_MAX + 1_000, -FUTURE_MS_MAX - 1_000]) {
    const clock = new ManualClock(setup.clock.now() + aheadMs)
    const laptop = await setup.entrant(attic, { name: `laptop ${aheadMs}`, clock })
    assert.equal(await statusOf(laptop.ask(attic.peer)), 'clock-off')
  }
})

test('machines from one address leave room for others', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  for (let i = 0; i < ATTEMPTS_PER_ORIGIN_MAX; i++) {
    const laptop = await setup.entrant(attic, { name: 'crowd' })
    await laptop.ask(attic.peer)
    await laptop.host.hangUp(attic.peer)
    await settle()
  }
  const late = await setup.entrant(attic, { name: 'crowd' })
  const refusal = await late.ask(attic.peer).catch(error => error)
  assert.equal(refusal.status, 'busy')
  // It is told how many wait, and when the first place becomes free. A request that is refused uses up no code.
  assert.deepEqual(placesIn(refusal), { waiting: ATTEMPTS_PER_ORIGIN_MAX, freeMs: ATTEMPT_MS })
  for (let i = 0; i < CODES_PER_ORIGIN_MAX; i++) assert.equal(await statusOf(late.ask(attic.peer)), 'busy')
  const elsewhere = await setup.entrant(attic)
  assert.equal(await statusOf(elsewhere.ask(attic.peer)), 'ok')
  // A machine that was let in needs no place any more.
  const [item] = await attic.members.admitting.attempts()
  await attic.members.admitting.approve(item?.code as string)
  const next = await setup.entrant(attic, { name: 'crowd' })
  assert.equal(await statusOf(next.ask(attic.peer)), 'ok')
})

test('a machine that was turned away leaves its place to others at once, and stays turned away', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const crowd = []
  const codes: string[] = []
  for (let i = 0; i < ATTEMPTS_PER_ORIGIN_MAX; i++) {
    const laptop = await setup.entrant(attic, { name: 'crowd' })
    codes.push(await laptop.ask(attic.peer))
    crowd.push(laptop)
  }
  await attic.members.admitting.deny(codes[0] as string)
  const next = await setup.entrant(attic, { name: 'crowd' })
  assert.equal(await statusOf(next.ask(attic.peer)), 'ok')
  const [denied] = crowd
  assert.deepEqual(await denied?.wait(attic.peer), { state: 'denied' })
  assert.equal((await attic.members.admitting.attempts()).length, ATTEMPTS_PER_ORIGIN_MAX)
})

test('a role is raised by an admin, and not lowered', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const member = await setup.member('phone', setup.granted('storage', 'phone'), { bootstrap: [setup.addressOf(attic)] })
  await setup.admitted(attic, member)
  const { admitting } = attic.members
  assert.deepEqual(await admitting.changeRole(member.peer, 'writer'), {
    peerId: member.peer,
    name: 'phone',
    role: 'writer'
  })
  await timePassesUntil(setup.clock, 'the member follows', () => member.self.role === 'writer', SOON)
  assert.equal((await admitting.changeRole(member.peer, 'writer')).role, 'writer')
  assert.equal((await attic.ids(0)).length, (await member.ids(0)).length)
  await assert.rejects(admitting.changeRole(member.peer, 'reader'), { name: 'LowerRoleError', code: 'unsupported' })
})

test('a person who types a code late learns what became of the machine that showed it', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const { admitting } = attic.members
  const [laptop, phone, tablet, box] = await Promise.all(
    ['laptop', 'phone', 'tablet', 'box'].map(name => setup.entrant(attic, { name }))
  )
  const ask = async (entrant: typeof laptop): Promise<string> => (entrant as NonNullable<typeof laptop>).ask(attic.peer)
  const approved = await ask(laptop)
  const { peerId } = await admitting.approve(approved, { role: 'writer' })
  assert.deepEqual(await admitting.approve(approved, { role: 'admin' }), {
    ...{ peerId, name: 'laptop', role: 'writer' },
    already: true
  })
  await assert.rejects(admitting.deny(approved), /^UnknownCodeError: laptop was let in with this code$/)
  const denied = await ask(phone)
  await admitting.deny(denied)
  await assert.rejects(admitting.approve(denied), /phone was turned away/)
  const withdrawn = await ask(tablet)
  await tablet?.client.withdraw(attic.peer)
  assert.deepEqual(await admitting.attempts(), [])
  await assert.rejects(admitting.approve(withdrawn), { code: 'not-found', message: /tablet was stopped/ })
  const expired = await ask(box)
  setup.clock.advance(ATTEMPT_MS)
  await settle()
  await assert.rejects(admitting.approve(expired), {
    code: 'not-found',
    message: /this code of box is no longer valid/
  })
  await assert.rejects(
    admitting.approve('K7Q2ZD'),
    /^UnknownCodeError: no machine waits with this code: see dfs members$/
  )
})
