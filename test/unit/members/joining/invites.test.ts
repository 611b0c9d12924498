import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeInviteToken } from '../../../../src/format/invite-token.ts'
import { privateKey, rawPublicKey } from '../../../../src/format/network-key.ts'
import { hlcAt } from '../../../../src/format/stamp.ts'
import { isAdmitter } from '../../../../src/members/entering/verify.ts'
import { JoinClient } from '../../../../src/members/join-client.ts'
import { LocalMember } from '../../../../src/members/local-member.ts'
import { grantedIn, peerOf } from '../../../fixtures/entrant.ts'
import { silentLogger } from '../../../fixtures/logger.ts'
import { adminSecrets, grantedSecrets } from '../../../fixtures/member.ts'
import { settle, timePassesUntil } from '../../../fixtures/pass-time.ts'
import { KEY, Setup, SOON, statusOf } from './setup.ts'

const HOUR = 60 * 60_000

test('a machine with an invite is let in by an admin or a writer, and is then a member', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const writer = await setup.member('writer', setup.granted('writer'), { bootstrap: [setup.addressOf(attic)] })
  await setup.admitted(attic, writer)
  const made = await attic.members.admitting.invite({ uses: 2, role: 'writer' })
  assert.deepEqual([made.role, made.uses, made.expires.getTime()], ['writer', 2, setup.clock.now() + 24 * HOUR])
  assert.ok(decodeInviteToken(made.token).addresses.includes(setup.addressOf(attic)))
  for (const by of [attic, writer]) {
    const name = `laptop of ${by.self.name}`
    const laptop = await setup.entrant(by, { name })
    const statements = grantedIn(await laptop.enter(by.peer, made.token))
    await laptop.host.stop()
    await settle()
    const secrets = laptop.secrets(setup.admin.network, statements)
    const member = await setup.member(`${name} again`, secrets, { bootstrap: [setup.addressOf(attic)] })
    await setup.admitted(member, attic)
    assert.deepEqual([member.self.role, attic.members.member(member.peer)?.name], ['writer', name])
  }
  await timePassesUntil(
    setup.clock,
    'the admin knows both',
    () => attic.members.admitting.invites()[0]?.used === 2,
    SOON
  )
  const item = { id: made.id, role: 'writer', expires: made.expires, uses: 2, used: 2, state: 'used-up', by: 'attic' }
  assert.deepEqual(attic.members.admitting.invites(), [item])
  const late = await setup.entrant(attic, { name: 'late' })
  const { outcome, statements } = await late.enter(attic.peer, made.token)
  assert.equal(outcome, 'used-up')
  // The answer shows who gives it, so that an impostor cannot give it.
  const facts = { nowMs: setup.clock.now(), log: silentLogger.forComponent('test') }
  assert.equal(await isAdmitter(statements, setup.admin.network, { ...facts, peer: attic.peer }), true)
  for (const peer of [peerOf(late.candidate), writer.peer])
    assert.equal(await isAdmitter(statements, setup.admin.network, { ...facts, peer }), false)
  assert.equal(await isAdmitter(statements, Buffer.alloc(32), { ...facts, peer: attic.peer }), false)
})

test('an invite works at a member that has never heard of it, because it carries what it rests on', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const { token } = await attic.members.admitting.invite()
  await attic.stop()
  const writer = await setup.member('writer', setup.granted('writer'))
  const laptop = await setup.entrant(writer)
  grantedIn(await laptop.enter(writer.peer, token))
})

test('an invite for an admin can be used only at an admin', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const writer = await setup.member('writer', setup.granted('writer'))
  const reader = await setup.member('reader', setup.granted('reader'))
  const { token } = await attic.members.admitting.invite({ role: 'admin' })
  const laptop = await setup.entrant(writer)
  assert.equal((await laptop.enter(writer.peer, token)).outcome, 'elsewhere')
  const phone = await setup.entrant(reader, { name: 'phone' })
  assert.equal((await phone.enter(reader.peer, token)).outcome, 'elsewhere')
  await setup.dial(laptop.host, attic)
  grantedIn(await laptop.enter(attic.peer, token))
  assert.equal(attic.members.member(peerOf(laptop.candidate))?.role, 'admin')
})

test('an invite that has expired, was revoked, or was used up says so', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const { admitting } = attic.members
  const [used, revoked, other] = [await admitting.invite(), await admitting.invite(), await admitting.invite()]
  const old = await admitting.invite({ expiresMs: HOUR })
  const laptop = await setup.entrant(attic)
  grantedIn(await laptop.enter(attic.peer, used.token))
  const again = grantedIn(await laptop.enter(attic.peer, used.token))
  assert.equal(again.length, 3, 'it gets its own grant again, with the invite')
  assert.deepEqual(await admitting.revokeInvite(revoked.id.slice(0, 12)), { id: revoked.id })
  await admitting.revokeInvite(other.token)
  assert.deepEqual(await admitting.revokeInvite(other.id), { id: other.id }, 'a second time changes nothing')
  const late = await setup.entrant(attic, { name: 'late' })
  setup.clock.advance(HOUR + 1)
  await settle()
  const early = await setup.entrant(attic, { name: 'early' })
  assert.ok(!late.host.isConnected(attic.peer))
  const outcomes = [used, revoked, other, old].map(async ({ token }) => (await early.enter(attic.peer, token)).outcome)
  assert.deepEqual(await Promise.all(outcomes), ['used-up', 'revoked', 'revoked', 'expired'])
  const states = new Map(admitting.invites().map(({ id, state }) => [id, state]))
  assert.deepEqual(
    [used, revoked, other, old].map(({ id }) => states.get(id)),
    ['used-up', 'revoked', 'revoked', 'expired']
  )
  await assert.rejects(admitting.revokeInvite('00'.repeat(32)), { code: 'not-found' })
  await assert.rejects(admitting.revokeInvite('no invite'), { code: 'invalid' })
})

test('an invite whose maker is no member does not count', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const ended = grantedSecrets(setup.admin, setup.clock, setup.chance, {
    role: 'admin',
    notAfter: hlcAt(setup.clock.now() + HOUR)
  })
  const cellar = await setup.member('cellar', ended, { bootstrap: [setup.addressOf(attic)] })
  const { token } = await cellar.members.admitting.invite({ expiresMs: 3 * HOUR })
  setup.clock.advance(2 * HOUR)
  await settle()
  const laptop = await setup.entrant(attic)
  const outcome = await laptop.enter(attic.peer, token).then(
    ({ outcome }) => outcome,
    error => error.status
  )
  // An invite is signed while its maker may; it lets nobody in that a present member does not let in.
  assert.ok(['granted', 'invalid', 'revoked'].includes(outcome), outcome)
})

test('an entry is refused if what the machine shows is altered, of another network, or of another machine', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const { token } = await attic.members.admitting.invite()
  const { statements } = decodeInviteToken(token)
  const laptop = await setup.entrant(attic)
  const { x25519, key } = laptop
  const good = { name: 'laptop', x25519, inviteSig: Buffer.alloc(64), subjectSig: Buffer.alloc(64) }
  const enter = async (bytes: readonly Uint8Array[]): Promise<string> => {
    await laptop.client.hello(attic.peer)
    return statusOf(laptop.client.enter(attic.peer, good, bytes))
  }
  assert.equal(await enter(statements), 'invalid', 'without signatures')
  assert.equal(await enter(statements.slice(0, -1)), 'invalid', 'without the invite')
  assert.equal(await enter([Buffer.alloc(40, 1)]), 'invalid', 'with garbage')
  setup.clock.advance(11_000)
  const altered = statements.map((bytes, i) => (i === 0 ? bytes.with(bytes.byteLength - 1, 1) : bytes))
  assert.equal(await enter(altered), 'invalid', 'with a chain that nobody signed')
  setup.clock.advance(11_000)
  const foreign = await setup.member('foreign', adminSecrets(Buffer.alloc(32, 9), setup.clock, setup.chance))
  const made = decodeInviteToken((await foreign.members.admitting.invite()).token)
  assert.equal(await enter(made.statements), 'invalid', 'of another network')
  const status = attic.self.sign('settings', { ack: 1 }, attic.self.nextHlc()).bytes
  assert.equal(await enter([status, ...statements]), 'invalid', 'with a statement of another kind')
  assert.equal(attic.members.member(peerOf(laptop.candidate)), undefined)
  assert.deepEqual(key, rawPublicKey(privateKey('ed25519', laptop.candidate.device)))
})

test('the signatures that one machine shows let no other machine in', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const { token } = await attic.members.admitting.invite({ uses: 'unlimited' })
  const [laptop, thief] = [await setup.entrant(attic), await setup.entrant(attic, { name: 'thief' })]
  const shown: Parameters<typeof laptop.client.enter>[] = []
  const { enter } = laptop.client
  laptop.client.enter = (...args) => {
    shown.push(args)
    return enter.apply(laptop.client, args)
  }
  grantedIn(await laptop.enter(attic.peer, token))
  const [seen] = shown
  assert.ok(seen !== undefined)
  await thief.client.hello(attic.peer)
  assert.equal(await statusOf(thief.client.enter(...seen)), 'invalid')
  await thief.client.hello(attic.peer)
  const ownKey = { ...seen[1], x25519: thief.x25519 }
  assert.equal(await statusOf(thief.client.enter(seen[0], ownKey, seen[2])), 'invalid')
})

test('one member lets in no more machines at once than an invite allows', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const { token } = await attic.members.admitting.invite({ uses: 2 })
  const crowd = await Promise.all(Array.from({ length: 5 }, (_, i) => setup.entrant(attic, { name: `m${i}` })))
  const before = (await attic.ids(0)).length
  const replies = await Promise.all(crowd.map(machine => machine.enter(attic.peer, token)))
  assert.equal((await attic.ids(0)).length, before + 2, 'no grant is signed that would be void')
  assert.deepEqual(replies.map(({ outcome }) => outcome).sort(), [
    'granted',
    'granted',
    'used-up',
    'used-up',
    'used-up'
  ])
})

test('two members that let one machine each in by one invite agree which one stays, and the other is told', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const writer = await setup.member('writer', setup.granted('writer'))
  const { token } = await attic.members.admitting.invite()
  const [one, two] = [await setup.entrant(attic, { name: 'one' }), await setup.entrant(writer, { name: 'two' })]
  const first = grantedIn(await one.enter(attic.peer, token))
  setup.clock.advance(5)
  const second = grantedIn(await two.enter(writer.peer, token))
  await one.host.stop()
  await two.host.stop()
  await settle()
  const { network } = setup.admin
  const stays = await setup.member('one again', one.secrets(network, first), { bootstrap: [setup.addressOf(attic)] })
  const goes = await setup.member('two again', two.secrets(network, second), { bootstrap: [setup.addressOf(writer)] })
  await setup.admitted(stays, attic)
  await setup.admitted(goes, writer)
  await setup.dial(writer.host as never, attic)
  await timePassesUntil(setup.clock, 'all agree', () => goes.members.standing.isRemoved)
  await timePassesUntil(setup.clock, 'it is expelled', () => !writer.members.admitted.includes(goes.peer))
  assert.deepEqual(goes.events.filter(({ event }) => event === 'removed').length, 1)
  assert.throws(() => goes.members.assertMayWrite(), {
    code: 'not-allowed',
    message: /another machine used the invite/
  })
  for (const member of [attic, writer]) {
    assert.equal(member.members.member(stays.peer)?.role, 'writer')
    assert.equal(member.members.member(goes.peer), undefined)
  }
  assert.ok(!attic.members.admitted.includes(goes.peer))
})

test('an invite is refused if its time or its uses are out of bounds', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const { admitting } = attic.members
  for (const options of [
    { expiresMs: 59_000 },
    { expiresMs: 366 * 24 * HOUR },
    { uses: 0 },
    { uses: 65_536 },
    { uses: 1.5 },
    { expiresMs: Number.NaN }
  ])
    await assert.rejects(admitting.invite(options), { code: 'invalid' }, JSON.stringify(options))
  const made = await admitting.invite({ uses: 'unlimited', role: 'storage', expiresMs: 60_000 })
  assert.deepEqual([made.uses, made.role], [null, 'storage'])
  assert.deepEqual(KEY.length, 32)
})

test('a machine whose grant became void while it was away is told when it comes back', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const cellar = await setup.member('cellar', setup.granted('admin', 'cellar'))
  const { admitting } = attic.members
  const [used, revoked] = [await admitting.invite(), await admitting.invite()]
  setup.clock.advance(5)
  await admitting.revokeInvite(revoked.id)
  const one = await setup.entrant(attic, { name: 'one' })
  grantedIn(await one.enter(attic.peer, used.token))
  setup.clock.advance(5)
  const [two, three] = [await setup.entrant(cellar, { name: 'two' }), await setup.entrant(cellar, { name: 'three' })]
  const late = [
    { machine: two, statements: grantedIn(await two.enter(cellar.peer, used.token)), why: /another machine used/ },
    { machine: three, statements: grantedIn(await three.enter(cellar.peer, revoked.token)), why: /was revoked/ }
  ]
  for (const { machine, statements, why } of late) {
    await machine.host.stop()
    await settle()
    await attic.log.receive(statements, cellar.peer)
    const secrets = machine.secrets(setup.admin.network, statements)
    const name = `${machine.name} again`
    const member = await setup.member(name, secrets, { bootstrap: [setup.addressOf(attic)] })
    await timePassesUntil(setup.clock, 'it is told', () => member.members.standing.isRemoved, SOON)
    assert.throws(() => member.members.assertMayWrite(), { code: 'not-allowed', message: why })
    assert.deepEqual([member.members.admitted, attic.members.admitted], [[], []])
    await member.stop()
  }
})

test('a peer that has shown its grant and never accepted ours may ask only while its grant counts', async t => {
  const setup = new Setup(t)
  const { clock, chance } = setup
  const attic = await setup.member('attic', setup.admin)
  const cellar = await setup.member('cellar', setup.granted('admin', 'cellar'))
  const { token } = await attic.members.admitting.invite()
  const one = await setup.entrant(attic, { name: 'one' })
  const first = grantedIn(await one.enter(attic.peer, token))
  clock.advance(5)
  const two = await setup.entrant(cellar, { name: 'two' })
  const late = two.secrets(setup.admin.network, grantedIn(await two.enter(cellar.peer, token)))
  const ending = grantedSecrets(setup.admin, clock, chance, { role: 'reader', notAfter: hlcAt(clock.now() + 5_000) })
  const guest = await setup.entrant(cellar, { name: 'guest', candidate: ending })
  const shown = [
    { host: two.host, secrets: late },
    { host: guest.host, secrets: ending }
  ]
  for (const { host, secrets } of shown) {
    const client = new JoinClient({ host, self: new LocalMember(secrets, clock, chance), clock, onFault: () => {} })
    await client.hello(cellar.peer, AbortSignal.timeout(5_000))
    await client.prove(cellar.peer, AbortSignal.timeout(5_000))
    assert.ok(cellar.members.isAdmitted(host.peerId))
  }
  await cellar.log.receive(first, attic.peer)
  assert.deepEqual(
    [two, guest].map(({ host }) => cellar.members.isAdmitted(host.peerId)),
    [false, true]
  )
  clock.advance(6_000)
  await settle()
  assert.ok(guest.host.isConnected(cellar.peer))
  assert.equal(cellar.members.isAdmitted(guest.host.peerId), false)
})
