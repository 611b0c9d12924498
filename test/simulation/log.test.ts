import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { promisify } from 'node:util'
import type { Secrets } from '../../src/disk/keystore.ts'
import { LocalMember } from '../../src/members/local-member.ts'
import { ManualClock } from '../fixtures/clock.ts'
import type { FakeFiles } from '../fixtures/fake-files.ts'
import { adminSecrets, TestMember } from '../fixtures/member.ts'
import { type MemoryHost, MemoryNetwork } from '../fixtures/memory-host.ts'
import { settle } from '../fixtures/pass-time.ts'
import { seededChance } from '../fixtures/seeded-chance.ts'

const NAMES = ['a', 'b', 'c', 'd']
const STEPS = 40
const MINUTE = 60_000
const STEP_MS = 1_000
const KEY = Buffer.alloc(32, 7)
const SEEDS = process.env['DFS_LONG'] === '1' ? 100 : 6

interface Device {
  name: string
  secrets: Secrets
  member: TestMember
}

/**
 * Some members write, are cut apart, meet again, are restarted, and get an older copy of their disk back, in an order
 * that a seed draws. Some of their pushes get lost. At the end, when all can reach each other, all have the same
 * statements, and the totals of all are equal.
 */
class Run {
  readonly #clock = new ManualClock()
  readonly #chance
  readonly #network = new MemoryNetwork({ clock: this.#clock })
  readonly #devices: Device[] = []
  /** Every statement that some member has. */
  readonly #written = new Set<string>()
  readonly log: string[] = []

  constructor(seed: number) {
    this.#chance = seededChance(seed)
  }

  async run(): Promise<void> {
    for (const name of NAMES) {
      const secrets = adminSecrets(KEY, this.#clock, this.#chance, name)
      this.#devices.push({ name, secrets, member: await this.#start(name, secrets) })
    }
    for (let step = 0; step < STEPS; step++) await this.#step()
    await this.#converge()
    await this.#totalsAreEqual()
    for (const { member } of this.#devices) {
      assert.deepEqual(member.faults, [])
      // The cursors alone were enough to fetch everything.
      assert.deepEqual(member.doubts, [])
    }
    for (const { member } of this.#devices) await member.stop()
  }

  async #step(): Promise<void> {
    const device = this.#pick(this.#devices)
    const other = this.#pick(this.#devices)
    const draw = this.#chance.fraction()
    if (draw < 0.4) await this.#write(device)
    else if (draw < 0.6) this.#between('cut', device, other)
    else if (draw < 0.8) this.#between('heal', device, other)
    else if (draw < 0.92) await this.#restart(device)
    else await this.#restore(device)
    await this.#pass(this.#chance.fraction() < 0.3 ? MINUTE : 2_000)
  }

  async #write({ name, member }: Device): Promise<void> {
    const count = 1 + Math.floor(this.#chance.fraction() * 5)
    this.log.push(`${name} writes ${count}`)
    const entries = await member.write(this.#chance, count)
    // Some statements are pushed, as a verb does it, and the log has to deliver the others.
    if (this.#chance.fraction() < 0.5) member.sync.announce(entries)
  }

  #between(what: 'cut' | 'heal', a: Device, b: Device): void {
    if (a === b) return
    this.log.push(`${what} ${a.name} and ${b.name}`)
    this.#network[what](a.member.host as MemoryHost, b.member.host as MemoryHost)
  }

  async #restart(device: Device): Promise<void> {
    const { name, secrets, member } = device
    this.log.push(`${name} is restarted`)
    await member.stop()
    device.member = await this.#start(name, secrets, member)
  }

  /** Restores a disk from an earlier copy. Here the copy is made now, and restored after the member has gone on. */
  async #restore(device: Device): Promise<void> {
    const { name, secrets, member } = device
    this.log.push(`${name} is restored from a backup`)
    await member.stop()
    const backup = {
      files: (member.files as FakeFiles).copy(),
      database: member.database.after(member.database.batches)
    }
    device.member = await this.#start(name, secrets, member)
    await this.#write(device)
    await this.#pass(this.#chance.fraction() < 0.5 ? MINUTE : 2_000)
    await this.#note()
    await device.member.stop()
    // While it is alone, it may use again all the sequences that it has forgotten.
    if (this.#chance.fraction() < 0.7) for (const other of this.#devices) this.#between('cut', device, other)
    device.member = await this.#start(name, secrets, backup)
    for (let writes = 0; writes < 4; writes++) await this.#write(device)
  }

  async #start(
    name: string,
    secrets: Secrets,
    { files, database }: Partial<Pick<TestMember, 'files' | 'database'>> = {}
  ) {
    const { peerId } = new LocalMember(secrets, this.#clock, this.#chance)
    const member = await TestMember.open({
      secrets,
      host: this.#network.host(name, peerId),
      clock: this.#clock,
      chance: this.#chance,
      bootstrap: NAMES.filter(other => other !== name).map(other => `/memory/${other}`),
      ...(files === undefined ? {} : { files }),
      ...(database === undefined ? {} : { database })
    })
    await member.start()
    await settle()
    return member
  }

  /** Notes what the members have. A statement that only one member had is gone for good once that member forgets it. */
  async #note(): Promise<void> {
    this.#written.clear()
    for (const { member } of this.#devices) for (const id of await member.ids(1)) this.#written.add(id)
  }

  async #converge(): Promise<void> {
    for (const a of this.#devices) for (const b of this.#devices) this.#between('heal', a, b)
    await this.#note()
    const hasAll = async ({ member }: Device): Promise<boolean> => (await member.ids(1)).length >= this.#written.size
    const haveAll = async (): Promise<boolean> => (await Promise.all(this.#devices.map(hasAll))).every(Boolean)
    for (let passed = 0; !(await haveAll()); passed += 5_000) {
      assert.ok(passed < 60 * MINUTE, 'an hour passed, and some member lacks something')
      await this.#pass(5_000)
    }
    for (const { name, member } of this.#devices) assert.deepEqual(new Set(await member.ids(1)), this.#written, name)
  }

  async #totalsAreEqual(): Promise<void> {
    for (const statementClass of [0, 1] as const) {
      const totals = await Promise.all(this.#devices.map(({ member }) => member.log.positions.totals(statementClass)))
      for (const other of totals) assert.deepEqual(other, totals[0])
    }
  }

  async #pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      this.#clock.advance(STEP_MS)
      await atRest()
    }
  }

  #pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.#chance.fraction() * items.length)] as T
  }
}

/**
 * Lets everything run that does not wait for time. Signatures are checked on other threads, which may be slow on a busy
 * machine, so some work of our own waits in their queue behind each turn.
 */
async function atRest(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) {
    await settle(1)
    await Promise.all(Array.from({ length: 4 }, () => randomBytesOfAThread(1)))
  }
}

const randomBytesOfAThread = promisify(randomBytes)

for (let seed = 1; seed <= SEEDS; seed++) {
  test(`members that meet agree on one log, whatever has happened to them: seed ${seed}`, async () => {
    const run = new Run(seed)
    try {
      await run.run()
    } catch (error) {
      throw new Error(`seed ${seed} failed after:\n${run.log.join('\n')}`, { cause: error })
    }
  })
}
