import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Secrets } from '../../../src/disk/keystore.ts'
import type { PeerId } from '../../../src/format/peer-id.ts'
import { encodeHlc, type Hlc, hlcAt } from '../../../src/format/stamp.ts'
import type { Statement } from '../../../src/format/statement.ts'
import { NEWS_COMPARE_MS, NEWS_GRACE_MS } from '../../../src/members/constants.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { WithheldNews } from '../../../src/members/withheld-news.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { adminSecrets, entryBy, type MemberOptions, TestMember } from '../../fixtures/member.ts'
import { MemoryNetwork } from '../../fixtures/memory-host.ts'
import { settle, timePassesUntil } from '../../fixtures/pass-time.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const MINUTE = 60_000

/** Three other members, of which two are connected. */
class Setup {
  readonly clock = new ManualClock()
  readonly heads = new Map<PeerId, Hlc>()
  readonly newest = new Map<string, Hlc>()
  readonly compared: PeerId[] = []
  admitted: PeerId[] = ['b', 'c']
  /** What a comparison of whole logs brings. */
  onCompareAll: (peer: PeerId) => void = () => {}
  members = ['self', 'a', 'b', 'c'].map((peer, i) => ({
    peer,
    key: Buffer.alloc(32, i),
    x25519: Buffer.alloc(32),
    name: peer,
    role: 'admin' as const,
    capacityMax: undefined,
    zone: undefined,
    grantId: ''
  }))
  readonly news: WithheldNews

  constructor(t: TestContext) {
    const setup = this
    this.news = new WithheldNews({
      roster: {
        get members() {
          return setup.members
        }
      },
      statuses: { of: peer => this.#statusOf(peer) },
      newest: { of: async author => this.newest.get(toHex(author)) },
      clock: this.clock,
      chance: seededChance(1),
      log: silentLogger.forComponent(''),
      self: 'self',
      admitted: () => this.admitted,
      compareAll: async peer => {
        this.compared.push(peer)
        this.onCompareAll(peer)
      }
    })
    this.news.worker.start()
    t.after(() => this.news.worker.stop())
  }

  /** A member states its newest stamp, which is some minutes ahead of the clock. */
  state(peer: PeerId, minutes = 0): void {
    this.heads.set(peer, hlcAt(this.clock.now() + minutes * MINUTE))
  }

  /** All news that a member has stated arrives. */
  arrive(peer: PeerId): void {
    const key = this.members.find(member => member.peer === peer)?.key as Buffer
    this.newest.set(toHex(key), this.heads.get(peer) as Hlc)
  }

  /** Time passes, in which the logs are compared every minute, unless nobody is here. */
  async pass(minutes: number, { isCompared = true } = {}): Promise<void> {
    for (let i = 0; i < minutes; i++) {
      this.clock.advance(MINUTE)
      if (isCompared) this.news.compared()
      await settle(5)
    }
  }

  #statusOf(peer: PeerId): Statement<'status'> | undefined {
    const head = this.heads.get(peer)
    return head === undefined ? undefined : ({ fields: { head: encodeHlc(head) } } as Statement<'status'>)
  }
}

const GRACE_MINUTES = NEWS_GRACE_MS / MINUTE

test('missing news that a status names is noticed, once whole logs were compared', async t => {
  const setup = new Setup(t)
  setup.state('a')
  await setup.pass(GRACE_MINUTES)
  assert.deepEqual([setup.news.missing, setup.compared], [[], []], 'it may still be on its way')
  await setup.pass(2)
  assert.deepEqual([setup.news.missing, setup.compared.toSorted()], [['a'], ['b', 'c']])
  await setup.pass(NEWS_COMPARE_MS / MINUTE - 2)
  assert.equal(setup.compared.length, 2, 'at most hourly')
  await setup.pass(2)
  assert.equal(setup.compared.length, 4)
  setup.arrive('a')
  await setup.pass(1)
  assert.deepEqual(setup.news.missing, [])
})

test('the author is asked first if it is connected, and one other', async t => {
  const setup = new Setup(t)
  setup.admitted = ['b', 'c', 'a']
  setup.state('a')
  setup.onCompareAll = () => setup.arrive('a')
  await setup.pass(GRACE_MINUTES + 2)
  assert.deepEqual([setup.compared.length, setup.compared[0]], [2, 'a'])
  assert.deepEqual(setup.news.missing, [], 'the comparison brought it')
})

test('a member that goes on writing is not doubted while its earlier news keeps coming', async t => {
  const setup = new Setup(t)
  for (let i = 0; i < 30; i++) {
    setup.state('a')
    await setup.pass(1)
    // Each piece of its news arrives a minute later, when it has already stated more.
    if (i % 2 === 0) {
      setup.arrive('a')
      setup.state('a')
    }
    await setup.pass(1)
  }
  assert.deepEqual([setup.news.missing, setup.compared], [[], []])
})

test('news that is missing is noticed although its author goes on stating later news', async t => {
  const setup = new Setup(t)
  for (let i = 0; i < GRACE_MINUTES + 2; i++) {
    setup.state('a')
    await setup.pass(1)
  }
  assert.deepEqual(setup.news.missing, ['a'])
})

test('a statement that is stamped too far ahead is not missing before its time has come', async t => {
  const setup = new Setup(t)
  setup.state('a', 30)
  await setup.pass(25)
  assert.deepEqual([setup.news.missing, setup.compared], [[], []])
  await setup.pass(GRACE_MINUTES + 2)
  assert.deepEqual(setup.news.missing, ['a'])
})

test('news that its author no longer states is not missing, for example if a restored backup has forgotten it', async t => {
  const setup = new Setup(t)
  setup.state('a')
  await setup.pass(GRACE_MINUTES + 2)
  assert.deepEqual(setup.news.missing, ['a'])
  setup.heads.set('a', 0n)
  await setup.pass(1)
  assert.deepEqual(setup.news.missing, [])
})

test('nothing is doubted while no comparison with any member succeeds', async t => {
  const setup = new Setup(t)
  setup.news.compared()
  setup.state('a')
  await setup.pass(30, { isCompared: false })
  assert.deepEqual([setup.news.missing, setup.compared], [[], []])
})

test('nothing is reported before whole logs were compared with somebody', async t => {
  const setup = new Setup(t)
  setup.admitted = []
  setup.state('a')
  await setup.pass(30)
  assert.deepEqual(setup.news.missing, [], 'the member with which the log was compared has gone')
  setup.admitted = ['c']
  await setup.pass(1)
  assert.deepEqual([setup.news.missing, setup.compared], [['a'], ['c']])
})

test('a comparison that fails is not repeated each minute, and a device that is no longer a member is forgotten', async t => {
  const setup = new Setup(t)
  setup.onCompareAll = () => {
    throw new Error('broken off')
  }
  setup.state('a')
  await setup.pass(30)
  assert.deepEqual([setup.news.missing, setup.compared.length], [['a'], 2])
  assert.equal(setup.news.worker.status.lastError, null)
  setup.members = setup.members.filter(({ peer }) => peer !== 'a')
  await setup.pass(1)
  assert.deepEqual(setup.news.missing, [])
})

test('members notice that an author’s news does not reach them, and no longer once the author is connected', async t => {
  const clock = new ManualClock()
  const chance = seededChance(51)
  const network = new MemoryNetwork({ clock })
  const start = async (name: string, secrets: Secrets, more: Partial<MemberOptions> = {}): Promise<TestMember> => {
    const host = network.host(name, new LocalMember(secrets, clock, chance).peerId)
    const member = await TestMember.open({ clock, chance, host, secrets, ...more })
    await member.start()
    t.after(() => member.stop())
    return member
  }
  const [author, ...others] = ['a', 'b', 'c'].map(name => adminSecrets(Buffer.alloc(32, 7), clock, chance, name))
  const b = await start('b', others[0] as Secrets)
  const c = await start('c', others[1] as Secrets, { bootstrap: ['/memory/b'] })
  // The author has signed an entry, and a status that names it. Only the status gets through.
  const a = new LocalMember(author as Secrets, clock, chance)
  const entry = entryBy(a, chance)
  const fields = { instance: a.instance, addresses: [], weight: 1, state: 'in' as const, outAfter: 10 * MINUTE }
  const status = a.sign('status', { ...fields, head: encodeHlc(entry.hlc) }, a.nextHlc())
  const take = (member: TestMember, statements: readonly Statement[]) =>
    member.log.receive(
      statements.map(({ bytes }) => bytes),
      a.peerId
    )
  await take(b, [...a.statements, status])
  await timePassesUntil(clock, 'the status is passed on', () => c.statuses.of(a.peerId) !== undefined)
  const missing = (): string[][] => [b, c].map(({ members }) => members.missingNewsOf.map(({ name }) => name))
  assert.deepEqual(missing(), [[], []])
  await timePassesUntil(clock, 'noticed', () => missing().every(names => names[0] === 'a'), { stepMs: 5_000 })
  assert.deepEqual(await take(b, [entry]), ['ok'])
  await timePassesUntil(clock, 'all is here', () => missing().flat().length === 0, { stepMs: 5_000 })
})
