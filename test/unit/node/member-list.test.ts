import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MemberItem } from '../../../src/api.ts'
import type { Secrets } from '../../../src/disk/keystore.ts'
import type { PeerId } from '../../../src/format/peer-id.ts'
import { hlcAt } from '../../../src/format/stamp.ts'
import { decodeStatement } from '../../../src/format/statement.ts'
import type { AttemptItem } from '../../../src/members/admitting.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import type { MembershipEvent } from '../../../src/members/members.ts'
import { Roster } from '../../../src/members/roster.ts'
import { MemberList, type MemberListOptions } from '../../../src/node/member-list.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { adminSecrets, admittedSecrets, grantedSecrets, inviteOf } from '../../fixtures/member.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const MINUTE = 60_000

class World {
  readonly clock = new ManualClock()
  readonly chance = seededChance(20)
  readonly admin = adminSecrets(Buffer.alloc(32, 7), this.clock, this.chance, 'attic')
  readonly roster = new Roster(this.admin.network, this.clock)
  readonly self = this.selfOf(this.admin)
  readonly statuses = new Map<PeerId, { hlc: bigint; fields: { addresses: string[] } }>()
  readonly view: Array<{ peer: PeerId; isOut: boolean; isDraining: boolean; isFull: boolean }> = []
  readonly saidOut = new Set<PeerId>()
  readonly admitted: PeerId[] = []
  readonly connections: Array<{ peer: PeerId; address: string }> = []
  readonly listeners: Array<(event: MembershipEvent) => void> = []
  readonly list: MemberList

  constructor() {
    const { roster, self, view, admitted, connections, listeners, statuses, clock } = this
    const members = {
      self,
      view: { members: view },
      admitted,
      connections: () => connections,
      on: (listener: (event: MembershipEvent) => void) => listeners.push(listener),
      get all() {
        return roster.members
      }
    }
    const of = (peer: PeerId): unknown => statuses.get(peer)
    const isSaidOut = (peer: PeerId): boolean => this.saidOut.has(peer)
    this.list = new MemberList({ members, roster, statuses: { of, isSaidOut }, clock } as unknown as MemberListOptions)
  }

  selfOf(secrets: Secrets): LocalMember {
    return new LocalMember(secrets, this.clock, this.chance)
  }

  /** Adds a member, and returns its peer id. */
  add(secrets: Secrets): PeerId {
    const self = this.selfOf(secrets)
    this.roster.load(self.statements)
    return self.peerId
  }

  item(peer: PeerId, attempts: AttemptItem[] = []): MemberItem {
    const found = this.list.items(attempts).find(({ peerId }) => peerId === peer)
    assert.ok(found !== undefined)
    return found
  }
}

test('the list shows this member first, then the others by their names, and those that wait last', () => {
  const world = new World()
  const { admin, clock, chance } = world
  world.add(admin)
  for (const name of ['zoo', 'barn']) world.add(grantedSecrets(admin, clock, chance, { name }))
  const waiting = { peer: 'waiting', name: 'aaa', role: 'writer', code: 'K7Q2ZD', untilMs: clock.now() + MINUTE }
  const items = world.list.items([{ ...waiting, address: '/ip4/192.168.1.44/tcp/9/p2p/waiting' } as AttemptItem])
  assert.deepEqual(
    items.map(({ name, self, state, code }) => [name, self, state, code]),
    [
      ['attic', true, 'in', null],
      ['barn', false, 'in', null],
      ['zoo', false, 'in', null],
      ['aaa', false, 'pending', 'K7Q2ZD']
    ]
  )
  const { address, expires, admittedBy } = items.at(-1) as MemberItem
  assert.deepEqual([address, expires?.getTime(), admittedBy], ['/ip4/192.168.1.44/tcp/9', clock.now() + MINUTE, null])
})

test('the list says who let a member in, and by which invite', () => {
  const world = new World()
  const { admin, clock, chance } = world
  const attic = world.add(admin)
  const writer = grantedSecrets(admin, clock, chance, { name: 'barn', role: 'writer' })
  const barn = world.add(writer)
  const invite = inviteOf(admin, clock, chance)
  const laptop = world.add(admittedSecrets(writer, invite, { clock, chance }))
  assert.deepEqual([world.item(attic).admittedBy, world.item(attic).invite], [null, null])
  assert.deepEqual(world.item(barn).admittedBy, { peerId: attic, name: 'attic' })
  assert.deepEqual(world.item(laptop).admittedBy, { peerId: barn, name: 'barn' })
  assert.equal(world.item(laptop).invite, toHex(invite.statement.id))
})

test('the list says how a member came in, also after its role was raised by somebody else', () => {
  const world = new World()
  const { admin, clock, chance } = world
  world.add(admin)
  const cellar = grantedSecrets(admin, clock, chance, { name: 'cellar', role: 'admin' })
  world.add(cellar)
  const invite = inviteOf(admin, clock, chance, { role: 'reader' })
  const laptop = admittedSecrets(admin, invite, { clock, chance })
  const peer = world.add(laptop)
  const before = world.item(peer)
  clock.advance(MINUTE)
  const { publicKey: subject } = world.selfOf(laptop)
  const raised = grantedSecrets(cellar, clock, chance, { name: 'laptop', role: 'writer', subject })
  world.roster.load(raised.grants.map(bytes => decodeStatement(bytes)))
  const after = world.item(peer)
  assert.deepEqual([before.role, after.role], ['reader', 'writer'])
  assert.deepEqual([after.admittedBy?.name, after.invite], ['attic', toHex(invite.statement.id)])
  assert.deepEqual([after.admittedBy, after.invite], [before.admittedBy, before.invite])
})

test('a device that used an invite after another had used it up is shown as removed', () => {
  const world = new World()
  const { admin, clock, chance } = world
  world.add(admin)
  const invite = inviteOf(admin, clock, chance, { uses: 1 })
  const first = world.add(admittedSecrets(admin, invite, { clock, chance }))
  clock.advance(MINUTE)
  const second = world.add(admittedSecrets(admin, invite, { clock, chance }))
  assert.deepEqual([world.item(first).state, world.item(second).state], ['in', 'removed'])
  assert.equal(world.item(second).admittedBy?.name, 'attic')
})

test('a member was last seen when its connection ended here or when it signed its last status, never in the future', () => {
  const world = new World()
  const { admin, clock, chance } = world
  world.add(admin)
  const laptop = world.add(grantedSecrets(admin, clock, chance, { name: 'laptop' }))
  const seen = (): number | undefined => world.item(laptop).lastSeen?.getTime()
  assert.equal(seen(), undefined)
  const start = clock.now()
  const addresses = ['/ip4/10.0.0.9/tcp/3000', '/ip4/10.0.1.9/tcp/3000']
  world.statuses.set(laptop, { hlc: hlcAt(start + 4 * MINUTE), fields: { addresses } })
  assert.equal(seen(), start, 'a stamp ahead of our clock counts as now')
  clock.advance(10 * MINUTE)
  assert.equal(seen(), start + 4 * MINUTE)
  assert.equal(world.item(laptop).address, '/ip4/10.0.0.9/tcp/3000')
  world.admitted.push(laptop)
  world.connections.push({ peer: laptop, address: `/ip4/10.0.0.7/tcp/9/p2p/${laptop}` })
  assert.deepEqual([seen(), world.item(laptop).address], [clock.now(), '/ip4/10.0.0.7/tcp/9'])
  world.admitted.pop()
  for (const listener of world.listeners) listener({ event: 'departed', peer: laptop })
  clock.advance(MINUTE)
  assert.equal(seen(), start + 10 * MINUTE)
})

test('the list shows whether a member is out, draining or full', () => {
  const world = new World()
  const { admin, clock, chance } = world
  const attic = world.add(admin)
  const laptop = world.add(grantedSecrets(admin, clock, chance, { name: 'laptop' }))
  world.view.push({ peer: laptop, isOut: true, isDraining: true, isFull: true })
  world.view.push({ peer: attic, isOut: false, isDraining: false, isFull: true })
  assert.deepEqual([world.item(laptop).state, world.item(attic).state], ['out', 'full'])
  const shown = world.view[0]
  assert.ok(shown !== undefined)
  shown.isOut = false
  assert.equal(world.item(laptop).state, 'draining')
})

test('a machine that waits is listed as seen now while it is connected, and without a time once it is gone', () => {
  const world = new World()
  const { clock, admin } = world
  world.add(admin)
  const peer = 'a machine that waits'
  const attempt = {
    peer,
    name: 'laptop',
    role: 'writer',
    code: 'K7Q2ZD',
    untilMs: 1,
    sinceMs: 0,
    isHere: true,
    at: undefined,
    address: undefined
  } as unknown as AttemptItem
  assert.equal(world.item(peer, [attempt]).lastSeen?.getTime(), clock.now())
  assert.equal(world.item(peer, [{ ...attempt, isHere: false }]).lastSeen, null)
})
