import assert from 'node:assert/strict'
import { createPublicKey, verify } from 'node:crypto'
import { test } from 'node:test'
import { admitBytes } from '../../../../src/format/admit.ts'
import { approvalCode, commitOf } from '../../../../src/format/approval.ts'
import { privateKey, rawPublicKey } from '../../../../src/format/network-key.ts'
import { peerIdOf } from '../../../../src/format/peer-id.ts'
import {
  FIRST_DIAL_MS,
  ROUND_RETRY_MS_MAX,
  SILENCE_MS,
  WAIT_PAUSE_MS
} from '../../../../src/members/entering/constants.ts'
import { Newcomer } from '../../../../src/members/entering/newcomer.ts'
import type {
  NewcomerOptions,
  ShownCode,
  Target,
  TurnedAway
} from '../../../../src/members/entering/newcomer-options.ts'
import { ATTEMPT_MS } from '../../../../src/members/joining/constants.ts'
import type { AskRequest, EnterReply, EnterRequest, WaitReply } from '../../../../src/members/joining/entry-client.ts'
import type { Clock } from '../../../../src/util/clock.ts'
import { DisconnectedError, RefusedError, type WireStatus } from '../../../../src/wire/errors.ts'
import { silentLogger } from '../../../fixtures/logger.ts'
import { seededChance } from '../../../fixtures/seeded-chance.ts'

const DEVICE = privateKey('ed25519', Buffer.alloc(32, 1))
const INVITE = privateKey('ed25519', Buffer.alloc(32, 3))
const X25519 = Buffer.alloc(32, 4)
const NETWORK = Buffer.alloc(32, 5)
const OTHER = Buffer.alloc(32, 6)
const THEIR_NONCE = Buffer.alloc(32, 7)
const GRANT = [Buffer.from('grant')]
/** The statements that show that a peer is a member. */
const PROOF = [Buffer.from('proof')]

/** Time that passes only while somebody sleeps. */
class SleepClock implements Clock {
  ms = 1_700_000_000_000
  #due: Array<{ atMs: number; callback: () => void }> = []

  now(): number {
    return this.ms
  }

  monotonic(): number {
    return this.ms
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await new Promise(resolve => setImmediate(resolve))
    signal?.throwIfAborted()
    this.ms += ms
    for (const entry of this.#due.filter(({ atMs }) => atMs <= this.ms)) entry.callback()
    this.#due = this.#due.filter(({ atMs }) => atMs > this.ms)
  }

  after(ms: number, callback: () => void): () => void {
    const entry = { atMs: this.ms + ms, callback }
    this.#due.push(entry)
    return () => {
      this.#due = this.#due.filter(other => other !== entry)
    }
  }
}

/** A member that gives the answers that it was told to give. */
class FakePeer {
  readonly key: Uint8Array
  readonly peer: string
  network: Uint8Array = NETWORK
  isUp = true
  /** A dial to it takes as long as the bound allows. */
  isSilent = false
  /** What it says with `busy`. */
  places: Record<string, unknown> = {}
  /** What `ask` answers. */
  asks: Array<WireStatus | 'granted'> = []
  waits: Array<WaitReply | 'gone' | WireStatus> = []
  enters: Array<EnterReply | WireStatus> = []
  readonly asked: AskRequest[] = []
  readonly entered: EnterRequest[] = []
  readonly commits: Uint8Array[] = []
  withdrawals = 0

  constructor(byte: number) {
    this.key = rawPublicKey(privateKey('ed25519', Buffer.alloc(32, byte)))
    this.peer = peerIdOf(this.key)
  }

  get address(): string {
    return `/ip4/127.0.0.1/tcp/1/p2p/${this.peer}`
  }
}

interface Run {
  clock: SleepClock
  codes: ShownCode[]
  dialled: string[]
  silences: () => number
  discovered: (peer: FakePeer) => void
  chosen: Uint8Array[]
  turnedAway: TurnedAway[]
  unreachable: string[]
  done: Promise<{ network: Uint8Array; statements: readonly Uint8Array[] }>
  abort: AbortController
}

interface RunOptions extends Partial<Pick<NewcomerOptions, 'network' | 'verify'>> {
  hasInvite?: boolean
  /** Peers at addresses that do not say who answers there. */
  unknown?: string[]
  /** The owner's answer to the question whether this is the right network. */
  choice?: boolean
  /** Called at each pause. */
  onDial?: (run: { dialled: string[]; clock: SleepClock }) => void
}

function run(peers: readonly FakePeer[], options: RunOptions = {}, hidden: readonly FakePeer[] = []): Run {
  const clock = new SleepClock()
  const codes: ShownCode[] = []
  const dialled: string[] = []
  const chosen: Uint8Array[] = []
  const turnedAway: TurnedAway[] = []
  const unreachable: string[] = []
  let silences = 0
  let discover: (peer: string, addresses: string[]) => void = () => {}
  const of = (peer: string): FakePeer => [...peers, ...hidden].find(other => other.peer === peer) as FakePeer
  const up = (peer: string): FakePeer => {
    if (!of(peer).isUp) throw new DisconnectedError('gone')
    return of(peer)
  }
  const host = {
    dial: async (addresses: readonly string[], { peer, signal }: { peer?: string; signal: AbortSignal }) => {
      const name = peer ?? (addresses[0]?.split('/').at(-1) as string)
      dialled.push(name)
      options.onDial?.({ dialled, clock })
      while (of(name).isSilent) await clock.sleep(100, signal)
      return up(name).peer
    },
    connections: () => peers.map(({ peer, address }) => ({ peer, address })),
    isConnected: (peer: string) => of(peer).isUp,
    onDiscovered: (listener: typeof discover) => {
      discover = listener
    }
  }
  const take = <T>(list: Array<T | WireStatus>): T => {
    const next = list.shift()
    if (next === undefined) throw new DisconnectedError('nothing left to answer')
    if (typeof next === 'string') throw new RefusedError(next as WireStatus)
    return next
  }
  const client = {
    hello: async (peer: string, commit?: Uint8Array) => {
      if (commit !== undefined) up(peer).commits.push(commit)
      return { network: up(peer).network, nonce: THEIR_NONCE }
    },
    ask: async (peer: string, request: AskRequest) => {
      up(peer).asked.push(request)
      const status = of(peer).asks.shift() ?? 'ok'
      if (status === 'granted') return status
      if (status !== 'ok') throw new RefusedError(status, of(peer).places)
      return 'asked'
    },
    wait: async (peer: string) => {
      const next = up(peer).waits[0]
      if (next === 'gone') {
        of(peer).waits.shift()
        throw new DisconnectedError('gone')
      }
      return take(of(peer).waits as WaitReply[])
    },
    withdraw: async (peer: string) => {
      up(peer).withdrawals++
    },
    enter: async (peer: string, request: EnterRequest) => {
      up(peer).entered.push(request)
      return take(of(peer).enters)
    }
  }
  const targets: Target[] = peers.map(({ peer, address }) => ({
    addresses: [address],
    peer: options.choice === undefined ? peer : undefined,
    isVouched: options.choice === undefined && !options.unknown?.includes(peer)
  }))
  const publicKey = rawPublicKey(DEVICE)
  const newcomer = new Newcomer({
    host: host as unknown as NewcomerOptions['host'],
    client,
    clock,
    chance: seededChance(1),
    logger: silentLogger,
    device: { key: DEVICE, publicKey, x25519: X25519 },
    name: 'laptop',
    role: 'writer',
    targets,
    named: targets.length,
    network: options.network,
    invite:
      options.hasInvite === true
        ? { id: Buffer.alloc(32, 9), key: INVITE, notAfterMs: 0, statements: [Buffer.from('invite')] }
        : undefined,
    choose:
      options.choice === undefined
        ? undefined
        : async network => {
            chosen.push(network)
            return options.choice as boolean
          },
    verify: options.verify ?? (async statements => statements === GRANT),
    admits: async statements => statements === PROOF,
    onTurnedAway: answer => turnedAway.push(answer),
    onUnreachable: ({ address, reason }) => unreachable.push(`${address} ${reason}`),
    onCode: code => codes.push(code),
    onSilence: () => {
      silences++
    }
  })
  const abort = new AbortController()
  const done = newcomer.run(abort.signal)
  done.catch(() => {})
  const discovered = ({ peer, address }: FakePeer): void => discover(peer, [address.split('/p2p/')[0] as string])
  return { clock, codes, dialled, silences: () => silences, discovered, chosen, turnedAway, unreachable, done, abort }
}

test('a newcomer shows the code that follows from both nonces, and is in once the member says so', async () => {
  const peer = new FakePeer(10)
  peer.waits = [{ state: 'waiting' }, { state: 'waiting' }, { state: 'granted', statements: GRANT }]
  const { done, codes, clock } = run([peer])
  const startMs = clock.ms
  assert.deepEqual(await done, { network: NETWORK, statements: GRANT, address: peer.address })
  const [request] = peer.asked
  assert.deepEqual(peer.commits, [commitOf(request?.nonce as Uint8Array)])
  const dialler = { key: rawPublicKey(DEVICE), nonce: request?.nonce as Uint8Array }
  const code = approvalCode({ dialler, listener: { key: peer.key, nonce: THEIR_NONCE }, network: NETWORK })
  assert.deepEqual(codes, [{ code, network: NETWORK, untilMs: startMs + ATTEMPT_MS }])
  assert.deepEqual([request?.name, request?.role, request?.x25519], ['laptop', 'writer', X25519])
  assert.equal(clock.ms - startMs, 2 * WAIT_PAUSE_MS, 'a member that answers at once is not asked in a loop')
})

test('a newcomer whose member goes away dials it again, and its code stays', async () => {
  const peer = new FakePeer(10)
  peer.waits = ['gone', { state: 'waiting' }, 'gone', { state: 'granted', statements: GRANT }]
  let downs = 0
  const onDial = (): void => {
    // The member is away for a few dials.
    peer.isUp = peer.asked.length === 0 || ++downs > 3
  }
  const { done, codes, dialled } = run([peer], { onDial })
  await done
  assert.equal(codes.length, 1)
  assert.ok(dialled.length >= 6, dialled.join())
})

test('a newcomer that nobody lets in shows four codes, and gives up', async () => {
  const peer = new FakePeer(10)
  peer.waits = Array.from({ length: 9 }, () => ({ state: 'over' as const }))
  const { done, codes } = run([peer])
  await assert.rejects(done, { name: 'NobodyApprovedError', code: 'unreachable' })
  assert.equal(codes.length, 4)
  assert.equal(new Set(codes.map(({ code }) => code)).size, 4)
  assert.equal(new Set(peer.commits.map(commit => commit.toString())).size, 4)
})

test('a newcomer is told why it is not let in', async () => {
  const ways: Array<[name: string, set: (peer: FakePeer) => void, hasInvite?: boolean]> = [
    ['DeniedError', peer => peer.waits.push({ state: 'denied' })],
    ['ClockOffError', peer => peer.asks.push('clock-off')],
    ['NotAllowedError', peer => peer.asks.push('forbidden')],
    ['InviteExpiredError', peer => peer.enters.push({ outcome: 'expired', statements: [] }), true],
    ['InviteRevokedError', peer => peer.enters.push({ outcome: 'revoked', statements: [] }), true],
    ['InviteUsedUpError', peer => peer.enters.push({ outcome: 'used-up', statements: [] }), true],
    ['NobodyAdmitsError', peer => peer.enters.push({ outcome: 'elsewhere', statements: [] }), true],
    ['OtherNetworkError', peer => Object.assign(peer, { network: OTHER }), true]
  ]
  for (const [name, set, hasInvite = false] of ways) {
    const peer = new FakePeer(10)
    set(peer)
    const { done } = run([peer], { hasInvite, network: hasInvite ? NETWORK : undefined })
    await assert.rejects(done, { name })
  }
})

test('a newcomer goes on to the next address if a member may not let it in, and accepts no false grant', async () => {
  const [reader, liar, admin] = [10, 11, 12].map(byte => new FakePeer(byte)) as [FakePeer, FakePeer, FakePeer]
  reader.asks = ['forbidden']
  reader.waits = [{ state: 'over' }]
  liar.waits = [{ state: 'granted', statements: [Buffer.from('forged')] }]
  admin.waits = [{ state: 'granted', statements: GRANT }]
  const { done, codes } = run([reader, liar, admin])
  await done
  assert.equal(codes.length, 2)
})

for (const [who, answer] of [
  ['an admin', 'granted'],
  ['a member that may not let machines in', 'forbidden']
] as const)
  test(`a machine that was let in and ended before it knew gets its grant from ${who}, and shows no code`, async () => {
    const peer = new FakePeer(10)
    peer.asks = [answer]
    peer.waits = [{ state: 'granted', statements: GRANT }]
    const { done, codes } = run([peer])
    assert.equal((await done).statements, GRANT)
    assert.deepEqual([codes, peer.asked.length], [[], 1])
  })

test('a newcomer whose owner does not know the network neither asks nor shows a code', async () => {
  const peer = new FakePeer(10)
  const { done, codes, chosen } = run([peer], { choice: false })
  await assert.rejects(done, { code: 'invalid', message: /--new/ })
  assert.deepEqual([codes, peer.asked, peer.commits, chosen], [[], [], [], [NETWORK]])
})

test('a newcomer asks its owner once, and then joins no other network', async () => {
  const [first, second] = [new FakePeer(10), new FakePeer(11)]
  first.waits = [{ state: 'over' }, 'gone', { state: 'over' }]
  second.network = OTHER
  const { done, chosen } = run([first, second], {
    choice: true,
    onDial: ({ dialled }) => {
      if (dialled.length > 8) first.waits.push({ state: 'granted', statements: GRANT })
    }
  })
  assert.equal((await done).network, NETWORK)
  assert.deepEqual([chosen, second.asked], [[NETWORK], []])
})

test('a newcomer that nobody answers says so once, and goes on with pauses that grow', async () => {
  const peer = new FakePeer(10)
  peer.isUp = false
  peer.waits = [{ state: 'granted', statements: GRANT }]
  let silentMs = 0
  const { done, silences, clock } = run([peer], {
    onDial: ({ dialled, clock: { ms } }) => {
      silentMs = ms
      peer.isUp = dialled.length > 30
    }
  })
  const startMs = clock.ms
  await done
  assert.equal(silences(), 1)
  assert.ok(silentMs - startMs > 10 * ROUND_RETRY_MS_MAX)
  assert.ok(silentMs - startMs > SILENCE_MS)
})

test('a newcomer with an invite signs with both keys, and finds members nearby if the addresses are silent', async () => {
  const [away, near] = [new FakePeer(10), new FakePeer(11)]
  away.isUp = false
  near.enters = [{ outcome: 'granted', statements: GRANT }]
  const { done, discovered } = run([away], { hasInvite: true, network: NETWORK }, [near])
  discovered(near)
  await done
  const request = near.entered[0] as EnterRequest
  const publicKey = rawPublicKey(DEVICE)
  const bytes = admitBytes({ network: NETWORK, invite: Buffer.alloc(32, 9), key: publicKey, x25519: X25519 })
  assert.ok(verify(null, bytes, createPublicKey(INVITE), request.inviteSig))
  assert.ok(verify(null, bytes, createPublicKey(DEVICE), request.subjectSig))
  assert.deepEqual([near.commits, near.asked], [[], []])
})

test('a newcomer that is stopped ends with the reason of its stop, whatever it was doing', async () => {
  const peer = new FakePeer(10)
  peer.isUp = false
  const { done, abort } = run([peer])
  abort.abort(new RangeError('stop'))
  await assert.rejects(done, RangeError)
})

test('an impostor cannot end the attempt of a newcomer that another address lets in', async () => {
  const lies: Array<[lie: (peer: FakePeer) => void, reason: string, hasInvite: boolean]> = [
    [peer => peer.waits.push({ state: 'denied' }), 'denied', false],
    [peer => peer.asks.push('clock-off'), 'clock-off', false],
    [peer => peer.enters.push({ outcome: 'used-up', statements: [] }), 'used-up', true],
    [peer => peer.enters.push({ outcome: 'revoked', statements: [Buffer.from('forged')] }), 'revoked', true],
    [peer => peer.enters.push({ outcome: 'expired', statements: [] }), 'expired', true],
    [peer => peer.enters.push('clock-off'), 'clock-off', true]
  ]
  for (const [lie, reason, hasInvite] of lies) {
    const [impostor, admin] = [new FakePeer(10), new FakePeer(11)]
    lie(impostor)
    admin.waits = [{ state: 'granted', statements: GRANT }]
    admin.enters = [{ outcome: 'granted', statements: GRANT }]
    const unknown = [impostor.peer, admin.peer]
    const { done, turnedAway } = run([impostor, admin], { hasInvite, network: NETWORK, unknown })
    await done
    const { peer, address } = impostor
    assert.deepEqual(turnedAway, [{ peer, address, reason, places: undefined }])
  }
})

test('a member at an unknown address ends the attempt if it shows that it is one', async () => {
  const [member, silent] = [new FakePeer(10), new FakePeer(11)]
  silent.isUp = false
  member.enters = [{ outcome: 'used-up', statements: PROOF }]
  const unknown = [member.peer, silent.peer]
  const { done } = run([member, silent], { hasInvite: true, network: NETWORK, unknown })
  await assert.rejects(done, { name: 'InviteUsedUpError' })
})

test('a newcomer for which there is no place tells its owner how many wait, and asks until there is one', async () => {
  const peer = new FakePeer(10)
  peer.asks = ['busy', 'busy', 'busy']
  peer.places = { waiting: 2, freeMs: 60_000 }
  peer.waits = [{ state: 'granted', statements: GRANT }]
  const { done, turnedAway, codes } = run([peer])
  await done
  const { address } = peer
  assert.deepEqual(turnedAway, [{ peer: peer.peer, address, reason: 'busy', places: { waiting: 2, freeMs: 60_000 } }])
  assert.equal(codes.length, 1)
})

test('a newcomer that is stopped while it waits takes its request back where it asked', async () => {
  const peer = new FakePeer(10)
  const { done, abort, codes } = run([peer])
  peer.waits.push(...new Array<WaitReply>(50).fill({ state: 'waiting' }))
  while (codes.length === 0) await new Promise(resolve => setImmediate(resolve))
  abort.abort(new RangeError('stop'))
  await assert.rejects(done, RangeError)
  assert.equal(peer.withdrawals, 1)
})

test('a newcomer tells its owner why each address that was named does not help, once for each reason', async () => {
  const [away, foreign, reader, admin] = [10, 11, 12, 13].map(byte => new FakePeer(byte)) as [
    FakePeer,
    FakePeer,
    FakePeer,
    FakePeer
  ]
  away.isUp = false
  foreign.network = OTHER
  reader.asks = ['forbidden', 'forbidden']
  reader.waits = [{ state: 'over' }]
  admin.asks = ['busy']
  admin.waits = [{ state: 'granted', statements: GRANT }]
  const { done, turnedAway, unreachable } = run([away, foreign, reader, admin], { network: NETWORK })
  await done
  assert.deepEqual(unreachable, [`${away.address} no answer`])
  assert.deepEqual(
    turnedAway.map(({ peer, reason }) => [peer, reason]),
    [
      [foreign.peer, 'foreign'],
      [reader.peer, 'nobody-admits'],
      [admin.peer, 'busy']
    ]
  )
})

test('a newcomer says nothing of peers that announced themselves and do not help', async () => {
  const [away, near] = [new FakePeer(10), new FakePeer(11)]
  away.isUp = false
  near.network = OTHER
  const { done, discovered, unreachable, turnedAway, abort } = run(
    [away],
    {
      hasInvite: true,
      network: NETWORK,
      onDial: ({ dialled }) => {
        if (dialled.length > 6) abort.abort(new RangeError('stop'))
      }
    },
    [near]
  )
  discovered(near)
  await assert.rejects(done, RangeError)
  assert.deepEqual([unreachable, turnedAway], [[`${away.address} no answer`], []])
})

test('an address that does not answer keeps a newcomer from the next one for some seconds only', async () => {
  const [away, admin] = [new FakePeer(10), new FakePeer(11)]
  away.isSilent = true
  admin.waits = [{ state: 'granted', statements: GRANT }]
  const { done, clock, unreachable } = run([away, admin])
  const startMs = clock.ms
  await done
  assert.deepEqual(unreachable, [`${away.address} timed out`])
  assert.ok(clock.ms - startMs <= FIRST_DIAL_MS + WAIT_PAUSE_MS, `${clock.ms - startMs} ms`)
})
