import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import type { Secrets } from '../../../src/disk/keystore.ts'
import type { Fields, Role } from '../../../src/format/kinds.ts'
import { privateKey, rawPublicKey } from '../../../src/format/network-key.ts'
import type { PeerId } from '../../../src/format/peer-id.ts'
import { type Hlc, hlcAt } from '../../../src/format/stamp.ts'
import type { Statement } from '../../../src/format/statement.ts'
import { KEY_REQUEST_MS, KEY_WAIT_MS } from '../../../src/members/constants.ts'
import { Epochs } from '../../../src/members/epochs.ts'
import { Handovers } from '../../../src/members/handovers.ts'
import { type EpochKey, KeyReceiver, type Recipient } from '../../../src/members/key-receiver.ts'
import { KeyRing } from '../../../src/members/key-ring.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { Roster } from '../../../src/members/roster.ts'
import { acceptedBy } from '../../fixtures/accepted.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { adminSecrets, grantedSecrets } from '../../fixtures/member.ts'
import { settle, timePassesUntil } from '../../fixtures/pass-time.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const chance = seededChance(3)
const clock = new ManualClock()
const adminOf = adminSecrets(Buffer.alloc(32, 7), clock, chance)
const { network } = adminOf
const FIRST_KEY = adminOf.epochs[0]!.key
const OTHER_KEY = Buffer.alloc(32, 0x55)
const SOON = { stepMs: 10, msMax: 1_000 }

/** A member with its key receiver. The log is not there: the tests hand over the statements themselves. */
class Machine {
  readonly secrets: Secrets
  readonly self: LocalMember
  readonly epochs: Epochs
  readonly handovers: Handovers
  readonly keys: KeyRing
  readonly receiver: KeyReceiver
  readonly kept: EpochKey[] = []
  readonly asked: Array<{ peer: PeerId; epoch: Uint8Array }> = []
  readonly roster = new Roster(network, clock)
  admitted: PeerId[] = []
  /** What the members here answer if they are asked for a key. */
  answer: (epoch: Uint8Array) => Uint8Array = () => {
    throw new Error('this member holds no such key')
  }
  /** What the records on this member tell about a key. */
  opensAny: (key: Uint8Array) => boolean = () => true
  isDiskFull = false

  constructor(secrets: Secrets, held: readonly EpochKey[] = [], recovery?: Recipient) {
    this.secrets = secrets
    this.self = new LocalMember(secrets, clock, chance)
    const { self, roster } = this
    roster.load(this.self.statements)
    roster.onChange(() => self.follow(roster))
    this.epochs = new Epochs({ network, isEffective: grant => roster.isEffective(grant) })
    const own = { key: self.publicKey, x25519: privateKey('x25519', secrets.x25519) }
    const recipients = recovery === undefined ? [own] : [own, recovery]
    this.handovers = new Handovers(recipients.map(({ key }) => key))
    this.keys = new KeyRing(held, this.epochs)
    this.receiver = new KeyReceiver({
      self,
      recipients,
      held,
      keys: this.keys,
      epochs: this.epochs,
      handovers: this.handovers,
      roster,
      clock,
      chance,
      logger: silentLogger,
      opensAny: async (_, key) => this.opensAny(key),
      keep: async key => {
        if (this.isDiskFull) throw new Error('the disk is full')
        this.kept.push(key)
      },
      admitted: () => this.admitted,
      ask: async (peer, epoch) => {
        this.asked.push({ peer, epoch })
        return this.answer(epoch)
      },
      receive: async () => 'ok'
    })
  }

  get x25519(): Uint8Array {
    return rawPublicKey(privateKey('x25519', this.secrets.x25519))
  }

  /** The handover of an epoch's key to another machine, as this one signs it. */
  hands(to: Machine, { epoch = network, hlc }: { epoch?: Uint8Array; hlc?: Hlc } = {}): Statement<'handover'> {
    const { publicKey: key } = to.self
    const fields = this.receiver.handoverFor({ key, x25519: to.x25519, role: 'reader' }, epoch)
    return this.self.sign('handover', fields as Fields<'handover'>, hlc ?? this.self.nextHlc())
  }

  accept(statement: Statement<'handover'>, by: Machine): void {
    this.handovers.load([acceptedBy(by.self.publicKey, statement, by.self.role)])
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    this.receiver.worker.start()
    try {
      return await work()
    } finally {
      await this.receiver.worker.stop()
    }
  }

  /** Resolves once the worker has looked at what is there, twice. */
  async looked(): Promise<void> {
    for (let i = 0; i < 2; i++) {
      this.receiver.worker.wake()
      await settle()
    }
  }
}

function granted(issuer: Machine, role: Role, held: readonly EpochKey[] = []): Machine {
  return new Machine(grantedSecrets(issuer.secrets, clock, chance, { role }), held)
}

const FIRST = { id: network, key: FIRST_KEY }

test('a reader receives the key that an admin hands over, and keeps it', async () => {
  const admin = new Machine(adminOf, [FIRST])
  const reader = granted(admin, 'reader')
  await reader.run(async () => {
    reader.accept(admin.hands(reader), admin)
    await timePassesUntil(clock, 'the key', () => reader.keys.has(network), SOON)
  })
  assert.deepEqual(reader.kept, [{ id: network, key: Buffer.from(FIRST_KEY) }])
  assert.deepEqual(reader.receiver.held, reader.kept)
  assert.deepEqual(reader.asked, [])
  assert.equal(reader.handovers.of(network).length, 0)
})

test('a caller that waits for the key gets it when it arrives, and waits no longer than the bound', async () => {
  const admin = new Machine(adminOf, [FIRST])
  const reader = granted(admin, 'reader')
  const { signal } = new AbortController()
  const late = reader.receiver.received(signal)
  clock.advance(KEY_WAIT_MS)
  assert.equal(await late, false)
  const stopped = new AbortController()
  const ended = reader.receiver.received(stopped.signal)
  stopped.abort(new Error('stopped'))
  await assert.rejects(ended, { message: 'stopped' })
  const soon = reader.receiver.received(signal)
  await reader.run(async () => {
    reader.accept(admin.hands(reader), admin)
    assert.equal(await soon, true)
  })
  for (const has of [admin, granted(admin, 'storage')]) assert.equal(await has.receiver.received(signal), true)
})

test('a key that cannot be written to the keystore is used all the same', async () => {
  const admin = new Machine(adminOf, [FIRST])
  const reader = granted(admin, 'reader')
  reader.isDiskFull = true
  reader.accept(admin.hands(reader), admin)
  await reader.run(() => timePassesUntil(clock, 'the key', () => reader.keys.has(network), SOON))
})

test('the key of the first epoch counts from an admin or an issuer of our grant, and from nobody else', async () => {
  const admin = new Machine(adminOf, [FIRST])
  const stranger = granted(admin, 'writer', [{ id: network, key: OTHER_KEY }])
  const reader = granted(admin, 'reader')
  reader.roster.load(stranger.self.statements)
  await reader.run(async () => {
    reader.accept(stranger.hands(reader), stranger)
    await reader.looked()
    assert.equal(reader.keys.has(network), false)
    reader.admitted = [stranger.self.peerId]
    await reader.looked()
    assert.deepEqual(reader.asked, [], 'who would not count is not asked')
  })
  // The issuer of this member's grant was an admin, and is a writer now. Only its place in the chain makes its key
  // count.
  const below = granted(admin, 'reader')
  const asWriter = acceptedBy(admin.self.publicKey, admin.hands(below), 'writer')
  below.handovers.load([asWriter])
  await below.run(() => timePassesUntil(clock, 'the key', () => below.keys.has(network), SOON))
})

test('a key of the first epoch that opens nothing of what is here is refused, until it opens something', async () => {
  const admin = new Machine(adminOf, [FIRST])
  const reader = granted(admin, 'reader')
  reader.opensAny = () => false
  reader.accept(admin.hands(reader), admin)
  await reader.run(async () => {
    await reader.looked()
    assert.equal(reader.keys.has(network), false)
    reader.opensAny = key => Buffer.compare(key, FIRST_KEY) === 0
    await timePassesUntil(clock, 'the key', () => reader.keys.has(network), {
      stepMs: 1_000,
      msMax: 2 * KEY_REQUEST_MS
    })
  })
})

test('the key of a later epoch counts from anybody if it has the hash that the epoch names', async () => {
  const admin = new Machine(adminOf, [FIRST])
  const fields = { previous: [network], hash: hash('sha256', OTHER_KEY, 'buffer'), excludes: [] }
  const epoch = admin.self.sign('epoch', fields, hlcAt(clock.now()))
  const giver = granted(admin, 'reader', [{ id: epoch.id, key: OTHER_KEY }])
  const liar = granted(admin, 'reader', [{ id: epoch.id, key: Buffer.alloc(32, 1) }])
  const reader = granted(admin, 'reader', [FIRST])
  await reader.run(async () => {
    reader.accept(giver.hands(reader, { epoch: epoch.id }), giver)
    await reader.looked()
    assert.equal(reader.keys.has(epoch.id), false, 'nobody knows of this epoch yet')
    reader.epochs.load([{ statement: epoch }])
    await timePassesUntil(clock, 'the key', () => reader.keys.has(epoch.id), SOON)
  })
  assert.deepEqual(reader.kept, [{ id: epoch.id, key: OTHER_KEY }])
  assert.deepEqual(reader.keys.newest?.id, epoch.id)

  const deceived = granted(admin, 'reader', [FIRST])
  deceived.epochs.load([{ statement: epoch }])
  deceived.accept(liar.hands(deceived, { epoch: epoch.id }), liar)
  await deceived.run(() => deceived.looked())
  assert.deepEqual([deceived.keys.has(epoch.id), deceived.handovers.of(epoch.id)], [false, []])
})

test('a storage member neither opens a key nor asks for one, until it is a reader', async () => {
  const admin = new Machine(adminOf, [FIRST])
  const storage = granted(admin, 'storage')
  storage.roster.load(admin.self.statements)
  storage.admitted = [admin.self.peerId]
  const { x25519, self } = storage
  assert.equal(admin.receiver.handoverFor({ key: self.publicKey, x25519, role: 'storage' }, network), undefined)
  await storage.run(async () => {
    storage.accept(admin.hands(storage), admin)
    await storage.looked()
    assert.deepEqual([storage.keys.newest, storage.asked], [undefined, []])
    clock.advance(1)
    const grant = { ...storage.self.grant.fields, role: 'reader' as const }
    storage.roster.load([admin.self.sign('grant', grant, admin.self.nextHlc())])
    await timePassesUntil(clock, 'the key', () => storage.keys.has(network), SOON)
  })
})

test('a member that lacks a key asks a member whose answer counts, again and again, but not more often than the bound allows', async () => {
  const admin = new Machine(adminOf, [FIRST])
  const reader = granted(admin, 'reader')
  const storage = granted(admin, 'storage')
  for (const { self } of [admin, storage]) reader.roster.load(self.statements)
  await reader.run(async () => {
    reader.admitted = [storage.self.peerId, admin.self.peerId]
    for (let i = 0; i < 5; i++) await reader.looked()
    assert.deepEqual(reader.asked, [{ peer: admin.self.peerId, epoch: network }])
    reader.answer = () => {
      const statement = admin.hands(reader)
      reader.accept(statement, admin)
      return statement.bytes
    }
    await timePassesUntil(clock, 'the key', () => reader.keys.has(network), {
      stepMs: 1_000,
      msMax: 2 * KEY_REQUEST_MS
    })
    assert.equal(reader.asked.length, 2)
  })
})

test('a handover to the recovery key is opened by a member that holds that key', async () => {
  const admin = new Machine(adminOf, [FIRST])
  const x25519 = privateKey('x25519', chance.bytes(32))
  const recovery = rawPublicKey(x25519)
  const recovered = new Machine(grantedSecrets(adminOf, clock, chance, { role: 'admin' }), [], {
    key: recovery,
    x25519
  })
  const fields = admin.receiver.handoverFor({ key: recovery, x25519: recovery, role: 'admin' }, network)
  recovered.accept(admin.self.sign('handover', fields!, admin.self.nextHlc()), admin)
  await recovered.run(() => timePassesUntil(clock, 'the key', () => recovered.keys.has(network), SOON))
})

test('of the handovers of one signer the last counts, and one that does not open is forgotten', async () => {
  const admin = new Machine(adminOf, [FIRST])
  const [reader, other] = [granted(admin, 'reader'), granted(admin, 'reader')]
  const good = admin.hands(reader, { hlc: hlcAt(clock.now() + 1) })
  // As an admin would make it for the X25519 key of an earlier grant.
  const { box } = admin.hands(other).fields
  const bad = admin.self.sign('handover', { ...good.fields, box }, hlcAt(clock.now() + 2))
  for (const order of [
    [good, bad],
    [bad, good]
  ])
    assert.deepEqual(lastOf(order), [bad])
  reader.accept(bad, admin)
  await reader.run(async () => {
    await reader.looked()
    assert.deepEqual([reader.handovers.of(network), reader.keys.newest], [[], undefined])
    reader.accept(good, admin)
    await timePassesUntil(clock, 'the key', () => reader.keys.has(network), SOON)
  })

  function lastOf(order: readonly Statement<'handover'>[]): Statement[] {
    const handovers = new Handovers([reader.self.publicKey])
    for (const statement of order) handovers.load([acceptedBy(admin.self.publicKey, statement)])
    return handovers.of(network).map(({ statement }) => statement)
  }
})
