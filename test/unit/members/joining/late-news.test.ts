import assert from 'node:assert/strict'
import { sign } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { admitBytes } from '../../../../src/format/admit.ts'
import { decodeInviteToken, inviteOf } from '../../../../src/format/invite-token.ts'
import { privateKey } from '../../../../src/format/network-key.ts'
import { Admitting, type AdmittingOptions } from '../../../../src/members/admitting.ts'
import type { Authority } from '../../../../src/members/authority.ts'
import type { Attempt } from '../../../../src/members/joining/peer-machine.ts'
import { LocalMember } from '../../../../src/members/local-member.ts'
import { drawCandidate, Entrant, peerOf } from '../../../fixtures/entrant.ts'
import type { TestMember } from '../../../fixtures/member.ts'
import { Setup } from './setup.ts'

/** The verbs of an admin, of which a test replaces some parts, so that news comes in the middle of a verb. */
async function admittingOf(
  t: TestContext,
  change: (attic: TestMember) => Partial<AdmittingOptions>
): Promise<{ setup: Setup; attic: TestMember; admitting: Admitting }> {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const { clock, chance, logger } = setup
  const admitting = new Admitting({
    ...{ host: attic.host, self: attic.self, log: attic.log, roster: attic.roster, clock, chance },
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
