import assert from 'node:assert/strict'
import { test } from 'node:test'
import { approvalCode, commitOf } from '../../../../src/format/approval.ts'
import { publicKeyOf } from '../../../../src/format/peer-id.ts'
import { ATTEMPT_MS, CODES_MAX, CODES_PER_ORIGIN_MAX } from '../../../../src/members/joining/constants.ts'
import { EntryClient } from '../../../../src/members/joining/entry-client.ts'
import { drawCandidate, Entrant, peerOf } from '../../../fixtures/entrant.ts'
import type { TestMember } from '../../../fixtures/member.ts'
import { settle } from '../../../fixtures/pass-time.ts'
import { Setup, statusOf } from './setup.ts'

/** The number of nonces that the attacker tries by itself for each answer of a member. */
const TRIES = 25_000

/**
 * Somebody stands between a newcomer and an admin, and wants the admin to see the newcomer's code beside a machine of
 * its own. The attacker may do everything that a stranger can: repeat `hello`, hang up and come back, with the same key
 * or another one, and choose what it reveals as late as the protocol allows.
 */
class Grinder {
  readonly setup: Setup
  readonly admin: TestMember
  readonly target: string
  answers = 0
  hits = 0

  constructor(setup: Setup, admin: TestMember, target: string) {
    this.setup = setup
    this.admin = admin
    this.target = target
  }

  /** One answer of the member, from an address. Returns the status of the `hello`. */
  async draw(address: string): Promise<string> {
    const { setup, admin } = this
    const { network: memory, chance, clock } = setup
    const candidate = drawCandidate(chance)
    const host = memory.host(address, peerOf(candidate))
    await host.start()
    await setup.dial(host, admin)
    const client = new EntryClient(host, clock)
    const { key, x25519 } = new Entrant(host, candidate, { clock, chance })
    const nonce = chance.bytes(32)
    try {
      const { network, nonce: theirs } = await client.hello(admin.peer, commitOf(nonce))
      this.answers++
      const codeOf = (nonce: Uint8Array): string =>
        approvalCode({ dialler: { key, nonce }, listener: { key: publicKeyOf(admin.peer), nonce: theirs }, network })
      const request = { name: 'laptop', role: 'writer' as const, x25519 }
      const late = this.#nonceFor(codeOf)
      if (late !== undefined) {
        // It has found a nonce that gives the code. It is not the one that it committed to.
        assert.equal(await statusOf(client.ask(admin.peer, { ...request, nonce: late })), 'invalid')
        return 'ok'
      }
      if (codeOf(nonce) === this.target && (await statusOf(client.ask(admin.peer, { ...request, nonce }))) === 'ok')
        this.hits++
      return 'ok'
    } catch (error) {
      return (error as { status?: string }).status ?? 'failed'
    } finally {
      await host.stop()
      await settle(5)
    }
  }

  /**
   * Looks for a nonce that gives the code, after the member has answered. In this time it finds only a prefix of the
   * code.
   */
  #nonceFor(codeOf: (nonce: Uint8Array) => string): Uint8Array | undefined {
    const nonce = Buffer.from(this.setup.chance.bytes(32))
    for (let i = 0; i < TRIES; i++) {
      nonce.writeUInt32LE(i)
      if (codeOf(nonce).startsWith(this.target.slice(0, 2))) return nonce
    }
    return undefined
  }
}

test('a code cannot be ground out: a nonce that was chosen late is refused, and draws are few', async t => {
  const setup = new Setup(t)
  const attic = await setup.member('attic', setup.admin)
  const grinder = new Grinder(setup, attic, 'K7Q2ZD')
  const statuses: string[] = []
  for (let i = 0; i < CODES_PER_ORIGIN_MAX + 4; i++) statuses.push(await grinder.draw('one address'))
  assert.deepEqual(statuses, [...new Array(CODES_PER_ORIGIN_MAX).fill('ok'), ...new Array(4).fill('busy')])
  for (let i = 0; statuses.length < 2 * CODES_MAX; i++) statuses.push(await grinder.draw(`address ${i % 40}`))
  assert.equal(grinder.answers, CODES_MAX, 'all strangers together draw no more')
  assert.deepEqual([grinder.hits, attic.events], [0, []], 'nothing ever waits under a code that somebody chose')
  setup.clock.advance(ATTEMPT_MS + 1)
  assert.equal(await grinder.draw('one address'), 'ok')
})
