import assert from 'node:assert/strict'
import { sign } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { admitBytes } from '../../../../src/format/admit.ts'
import { HANDOVER_BOX_BYTES } from '../../../../src/format/constants.ts'
import { decodeInviteToken, inviteOf } from '../../../../src/format/invite-token.ts'
import { privateKey } from '../../../../src/format/network-key.ts'
import { decodeStatement, idOf } from '../../../../src/format/statement.ts'
import { Admitting, type AdmittingOptions } from '../../../../src/members/admitting.ts'
import type { Authority } from '../../../../src/members/authority.ts'
import { KEY_REQUEST_MS } from '../../../../src/members/constants.ts'
import { NotAllowedError } from '../../../../src/members/errors.ts'
import type { Attempt } from '../../../../src/members/joining/peer-machine.ts'
import { LocalMember } from '../../../../src/members/local-member.ts'
import { Settings } from '../../../../src/members/settings.ts'
import { drawCandidate, Entrant, peerOf } from '../../../fixtures/entrant.ts'
import type { TestMember } from '../../../fixtures/member.ts'
import { Setup } from './setup.ts'

/** The verbs of an admin. A test replaces some of their parts, so that news arrives in the middle of a verb. */
async function admittingOf(
  t: TestContext,
  change: (attic: TestMember) => Partial<AdmittingOptions>
): Promise<{ setup: Setup; attic: TestMember; admitting: Admitting }> {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const { clock, chance, logger } = setup
  const admitting = new Admitting({
    ...{
      host: attic.host,
      self: attic.self,
      log: attic.log,
      roster: attic.roster,
      statuses: attic.statuses,
      settings: new Settings(),
      clock,
      chance
    },
    logger: logger.forComponent('test'),
    handovers: undefined,
    writeError: () => undefined,
    announce: () => {},
    admitted: () => [],
    waiting: () => [],
    decide: () => {},
    client: () => ({ waiting: async () => [], deny: async () => {} }),
    addresses: () => [],
    ...change(attic)
  })
  return { setup, attic, admitting }
}

test('a machine that is turned away while the other admins are asked is not let in', async t => {
  let attempts: Attempt[] = []
  let cellar = ''
  const { setup, attic, admitting } = await admittingOf(t, () => ({
    waiting: () => attempts,
    admitted: () => [cellar],
    client: () => ({
      deny: async () => {},
      waiting: async () => {
        attempts = []
        return []
      }
    })
  }))
  const { clock, chance } = setup
  const secrets = setup.granted('admin', 'cellar')
  await attic.log.receive(secrets.grants, attic.peer)
  cellar = new LocalMember(secrets, clock, chance).peerId
  const laptop = new Entrant(attic.host, drawCandidate(chance), { clock, chance })
  const facts = { peer: peerOf(laptop.candidate), key: laptop.key, x25519: laptop.x25519, name: 'laptop' }
  const times = { sinceMs: clock.now(), untilMs: clock.monotonic() + 1_000 }
  attempts = [{ ...facts, ...times, role: 'writer', code: 'K7Q2ZD', origin: '', decision: undefined }]
  await assert.rejects(admitting.approve('K7Q2ZD'), { code: 'not-found' })
  assert.equal(attic.members.member(facts.peer), undefined)
})

test('an invite that is revoked while signatures are checked lets nobody in, and says so', async t => {
  let isRevoked = false
  const { setup, attic, admitting } = await admittingOf(t, ({ roster }) => ({
    writeError: () => {
      // It is asked after the signatures were checked.
      isRevoked = true
      return undefined
    },
    roster: new Proxy<Authority>(roster, {
      get: (_, name: keyof Authority) => {
        if (name === 'invite')
          return (id: Uint8Array) => {
            const facts = roster.invite(id)
            return facts && { ...facts, isRevoked }
          }
        const value: unknown = roster[name]
        return typeof value === 'function' ? value.bind(roster) : value
      }
    })
  }))
  const { token } = await attic.members.admitting.invite()
  const { network, seed, statements } = decodeInviteToken(token)
  const { clock, chance } = setup
  const { candidate, key, x25519 } = new Entrant(attic.host, drawCandidate(chance), { clock, chance })
  const data = admitBytes({ network, invite: inviteOf({ seed, statements }).id, key, x25519 })
  const [inviteSig, subjectSig] = [seed, candidate.device].map(own => sign(null, data, privateKey('ed25519', own)))
  assert.ok(inviteSig !== undefined && subjectSig !== undefined)
  const reply = await admitting.enter({
    ...{ peer: peerOf(candidate), name: 'laptop', x25519, statements },
    inviteSig,
    subjectSig
  })
  assert.deepEqual([reply, attic.members.member(peerOf(candidate))], [{ outcome: 'revoked' }, undefined])
})

test('an invite whose token cannot be encoded leaves no statement in the log', async t => {
  const { attic, admitting } = await admittingOf(t, () => ({ addresses: () => ['x'.repeat(10_000)] }))
  const before = await attic.ids(0)
  await assert.rejects(admitting.invite(), { name: 'FormatError' })
  assert.deepEqual(await attic.ids(0), before)
})

test('a member that asks for a key again gets the same handover, and a member that may not have it costs no signature', async t => {
  const sealed: string[] = []
  const epoch = Buffer.alloc(32, 3)
  let isUnable = false
  const { setup, attic, admitting } = await admittingOf(t, () => ({
    writeError: () => (isUnable ? new NotAllowedError('not now') : undefined),
    handovers: {
      held: [{ id: epoch }],
      handoverFor: ({ key, role }, id) => {
        if (role === 'storage' || Buffer.compare(id, epoch) !== 0) return undefined
        sealed.push(role)
        return { epoch, recipient: key, box: Buffer.alloc(HANDOVER_BOX_BYTES, sealed.length) }
      }
    }
  }))
  const peers: string[] = []
  for (const role of ['reader', 'storage'] as const) {
    const secrets = setup.granted(role)
    await attic.log.receive(secrets.grants, attic.peer)
    peers.push(new LocalMember(secrets, setup.clock, setup.chance).peerId)
  }
  const [reader, storage] = peers as [string, string]
  isUnable = true
  await assert.rejects(admitting.handover(reader, epoch), { status: 'busy' })
  isUnable = false
  await assert.rejects(admitting.handover(storage, epoch), { status: 'forbidden' })
  await assert.rejects(admitting.handover(reader, Buffer.alloc(32, 4)), { status: 'not-found' })
  assert.deepEqual(sealed, [])
  const first = await admitting.handover(reader, epoch)
  setup.clock.advance(KEY_REQUEST_MS)
  assert.deepEqual(await admitting.handover(reader, epoch), first)
  const before = (await attic.ids(0)).length
  await admitting.changeRole(reader, 'writer')
  assert.equal((await attic.ids(0)).length, before + 1, 'a machine that has the key is handed over none')
  assert.deepEqual(await admitting.handover(reader, epoch), first)
  assert.deepEqual(sealed, ['reader'])
  await admitting.changeRole(storage, 'reader')
  const handed = await admitting.handover(storage, epoch)
  assert.deepEqual(sealed, ['reader', 'reader'], 'the one that came with the grant')
  assert.ok((await attic.ids(0)).includes(idOf(decodeStatement(handed))))
})
