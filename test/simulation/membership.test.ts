import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Secrets } from '../../src/disk/keystore.ts'
import { type Fields, KINDS, type Kind } from '../../src/format/kinds.ts'
import { privateKey } from '../../src/format/network-key.ts'
import { peerIdOf } from '../../src/format/peer-id.ts'
import { hlcAt } from '../../src/format/stamp.ts'
import { type AnyStatement, idOf, type Statement, signStatement } from '../../src/format/statement.ts'
import type { Verdict } from '../../src/log/projection.ts'
import { LocalMember } from '../../src/members/local-member.ts'
import { toHex } from '../../src/util/bytes.ts'
import { ManualClock } from '../fixtures/clock.ts'
import { TestMember } from '../fixtures/member.ts'
import { MembershipDraw } from '../fixtures/membership-draw.ts'
import { MembershipOracle, readPlain } from '../fixtures/membership-oracle.ts'
import { MemoryDatabase } from '../fixtures/memory-database.ts'
import { MemoryNetwork } from '../fixtures/memory-host.ts'
import { timePassesUntil } from '../fixtures/pass-time.ts'
import { seededChance, shuffled } from '../fixtures/seeded-chance.ts'
import { SAMPLE_FIELDS } from '../fixtures/statements.ts'

const KEY = Buffer.alloc(32, 7)
const PROBE_KEY = privateKey('ed25519', Buffer.alloc(32, 8))
const MINUTE_MS = 60_000
const SEEDS = Number(process.env['DFS_SEEDS'] ?? (process.env['DFS_LONG'] === '1' ? 1_000 : 12))
/**
 * The longest chain in which statements rest on one another needs one round for each link. Two members that compare are
 * equal after one round more.
 */
const ROUNDS_MAX = 25

/**
 * A history of grants, invites, roles and uses reaches some members in different orders, in batches, some of it twice
 * and some of it too early by their clocks. Some members get only a part of it, some are restarted or lose their index.
 * Then they take from each other what they lack. In the end all have the same statements, and all say of each device and
 * of each grant what the oracle says.
 */
class Run {
  readonly #clock = new ManualClock()
  readonly #chance
  readonly #draw: MembershipDraw
  readonly #network = new MemoryNetwork({ clock: this.#clock })
  readonly #members: TestMember[] = []
  /** In some seeds the members talk to each other over a network in memory, which takes longer. */
  readonly #isOnWire: boolean

  constructor(seed: number) {
    this.#isOnWire = seed % 10 === 0
    this.#chance = seededChance(seed)
    this.#draw = new MembershipDraw(KEY, this.#clock, this.#chance)
  }

  get said(): readonly string[] {
    return this.#draw.said
  }

  async run(): Promise<void> {
    const oracle = new MembershipOracle(
      this.#draw.network,
      this.#draw.statements.map(({ bytes }) => bytes)
    )
    for (const i of this.#draw.hosts.keys()) this.#members.push(await this.#open(i))
    for (const i of this.#members.keys()) await this.#deliver(i)
    this.#clock.advance(30 * MINUTE_MS)
    for (const { log } of this.#members) await log.acceptDue()
    await this.#converge(oracle)
    for (const minutes of [0, 3, 20]) {
      this.#clock.advance(minutes * MINUTE_MS)
      for (const [i, member] of this.#members.entries()) this.#check(member, oracle, `member ${i}, minute ${minutes}`)
    }
    this.#checkProbes(oracle)
    for (const i of this.#members.keys()) {
      await this.#reopen(i)
      this.#check(this.#members[i] as TestMember, oracle, `member ${i}, restarted`)
    }
    for (const { store } of this.#members) await store.close()
  }

  async #deliver(i: number): Promise<void> {
    const share = this.#chance.fraction() < 0.5 ? 1 : 0.3 + 0.7 * this.#chance.fraction()
    const some = this.#draw.statements.filter(() => this.#chance.fraction() < share)
    const repeated = some.filter(() => this.#chance.fraction() < 0.3)
    // Half of the members get most of it in an order in which few statements have to be repeated.
    const order =
      this.#chance.fraction() < 0.5 ? shuffled([...some, ...repeated], this.#chance) : [...some, ...repeated]
    while (order.length > 0) {
      const batch = order.splice(0, 1 + Math.floor(this.#chance.fraction() * 8))
      await this.#receive(i, batch)
      const draw = this.#chance.fraction()
      if (draw < 0.04) await this.#reopen(i)
      else if (draw < 0.08) await this.#reopen(i, new MemoryDatabase())
      else if (draw < 0.2) this.#clock.advance(20_000)
      else if (draw < 0.3) await this.#members[i]?.log.acceptDue()
    }
  }

  #receive(i: number, statements: readonly Statement[]): Promise<Verdict[]> {
    const { log, peer } = this.#members[i] as TestMember
    return log.receive(
      statements.map(({ bytes }) => bytes),
      peer
    )
  }

  /** The first member gets all that there is until nothing more is accepted; the others take it from each other. */
  async #converge(oracle: MembershipOracle): Promise<void> {
    const [first] = this.#members as [TestMember]
    for (let round = 0, had = -1; had !== (await this.#idsOf(first)).length; round++) {
      assert.ok(round < ROUNDS_MAX)
      had = (await this.#idsOf(first)).length
      await this.#receive(0, shuffled(this.#draw.statements, this.#chance))
    }
    if (this.#isOnWire) await this.#meet(oracle.accepted.length)
    for (let i = 1; i < this.#members.length; i++) await this.#compare(i - 1, i)
    for (let i = this.#members.length - 1; i > 0; i--) await this.#compare(i, i - 1)
    for (const [i, member] of this.#members.entries()) {
      assert.deepEqual(await this.#idsOf(member), oracle.accepted, `the log of member ${i}`)
      for (const statementClass of [0, 1] as const) {
        const { positions } = member.log
        assert.deepEqual(await positions.totals(statementClass), await first.log.positions.totals(statementClass))
      }
    }
  }

  /** The members run, prove their grants to each other and compare their logs, until all have everything. */
  async #meet(count: number): Promise<void> {
    for (const member of this.#members) await member.start()
    const hasAll = async (member: TestMember): Promise<boolean> => (await this.#idsOf(member)).length === count
    await timePassesUntil(this.#clock, 'all have everything', async () =>
      (await Promise.all(this.#members.map(hasAll))).every(Boolean)
    )
    for (const { faults, doubts } of this.#members) assert.deepEqual([faults, doubts], [[], []])
    for (const [i, member] of this.#members.entries()) {
      await member.stop()
      this.#members[i] = await this.#open(i, member)
    }
  }

  /** One member takes from another what it lacks, in the order of the ids, as a comparison does. */
  async #compare(from: number, to: number): Promise<void> {
    const source = this.#members[from] as TestMember
    const target = this.#members[to] as TestMember
    for (let round = 0; ; round++) {
      const lacking: Statement[] = []
      for (const statementClass of [0, 1] as const)
        for await (const { statement } of source.log.all(statementClass))
          if (!(await target.log.has([statement.id]))[0]) lacking.push(statement as Statement)
      if (lacking.length === 0) return
      assert.ok(round < ROUNDS_MAX, `member ${to} does not accept ${lacking.length} statements of member ${from}`)
      await this.#receive(to, lacking)
    }
  }

  /** The ids of all statements that a member has, except statuses. */
  async #idsOf({ log }: TestMember): Promise<string[]> {
    const ids: string[] = []
    for (const statementClass of [0, 1] as const)
      for await (const { statement } of log.all(statementClass))
        if (statement.kind !== 'status') ids.push(idOf(statement))
    return ids.sort()
  }

  #check({ roster, self }: TestMember, oracle: MembershipOracle, who: string): void {
    roster.refresh()
    const members = new Map(roster.members.map(({ peer, role, grantId }) => [peer as string, { grant: grantId, role }]))
    assert.deepEqual(sorted(members), sorted(oracle.members(this.#clock.now())), `the members of ${who}`)
    const { standings } = oracle
    for (const grant of this.#draw.grants)
      assert.equal(roster.standingOf(grant.id), standings.get(idOf(grant)), `grant ${idOf(grant)} on ${who}`)
    for (const key of this.#draw.devices) {
      const [peer, mine] = [peerIdOf(key), members.get(peerIdOf(key))]
      assert.equal(roster.member(peer)?.role, mine?.role, who)
      const last = roster.chainOf(peer)?.at(-1)
      assert.equal(last === undefined ? undefined : idOf(last), mine?.grant, `the chain of ${peer} on ${who}`)
    }
    const own = members.get(self.peerId)
    if (own !== undefined) assert.equal(idOf(self.grant), own.grant, `the grant of ${who} itself`)
    assert.equal(self.stampError === undefined, own !== undefined, `whether ${who} may sign`)
  }

  /** Checks who may sign which kind: the root key, and each device under each of its grants, early and late. */
  #checkProbes(oracle: MembershipOracle): void {
    const end = hlcAt(this.#clock.now())
    for (const grant of [null, ...this.#draw.grants])
      for (const hlc of [grant?.hlc ?? 0n, end])
        for (const kind of Object.keys(KINDS) as Kind[]) {
          const probe = this.#probeOf(kind, grant, hlc)
          const plain = readPlain(probe.bytes, this.#draw.network)
          const expected = oracle.maySign(plain) ? oracle.signerOf(plain) : 'nobody'
          for (const [i, { roster }] of this.#members.entries()) {
            const authorized = roster.authorize(probe as AnyStatement)
            const author = 'author' in authorized && isValid(roster, probe) ? toHex(authorized.author) : 'nobody'
            assert.equal(author, expected, `${kind} under ${grant === null ? 'the root key' : idOf(grant)} on ${i}`)
          }
        }
  }

  #probeOf(kind: Kind, grant: Statement<'grant'> | null, hlc: bigint): Statement {
    const { admit: _admit, ...fields } = SAMPLE_FIELDS[kind] as Record<string, unknown>
    const options = { network: this.#draw.network, key: PROBE_KEY, grant: grant?.id, hlc }
    return signStatement(kind, fields as Fields, options) as Statement
  }

  async #open(
    i: number,
    { files, database }: Partial<Pick<TestMember, 'files' | 'database'>> = {}
  ): Promise<TestMember> {
    const secrets = this.#draw.hosts[i] as Secrets
    const { peerId } = new LocalMember(secrets, this.#clock, this.#chance)
    const host = this.#network.host(`host${i}`, peerId)
    const disk = { ...(files === undefined ? {} : { files }), ...(database === undefined ? {} : { database }) }
    const bootstrap = i === 0 ? [] : ['/memory/host0']
    return TestMember.open({ secrets, host, clock: this.#clock, chance: this.#chance, bootstrap, ...disk })
  }

  async #reopen(i: number, database?: MemoryDatabase): Promise<void> {
    const member = this.#members[i] as TestMember
    await member.store.close()
    this.#members[i] = await this.#open(i, { files: member.files, database: database ?? member.database })
  }
}

/** Returns true if a statement alone breaks no rule of its kind. */
function isValid(roster: TestMember['roster'], statement: Statement): boolean {
  try {
    if (roster.kinds.has(statement.kind)) roster.check(statement)
    return true
  } catch {
    return false
  }
}

function sorted<T>(map: ReadonlyMap<string, T>): Array<[string, T]> {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1))
}

for (let seed = 1; seed <= SEEDS; seed++) {
  test(`members that have the same grants, invites and revocations agree with the oracle on who is in: seed ${seed}`, async () => {
    const run = new Run(seed)
    try {
      await run.run()
    } catch (error) {
      throw new Error(`seed ${seed} failed after:\n${run.said.join('\n')}`, { cause: error })
    }
  })
}
