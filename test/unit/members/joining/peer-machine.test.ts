import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  HELLOS_MAX,
  JOIN_TIMEOUT_MS,
  JOINING_MAX,
  JOINING_PER_ADDRESS_MAX,
  PROOFS_MAX,
  STRANGER_MS
} from '../../../../src/members/constants.ts'
import {
  ATTEMPT_MS,
  ATTEMPTS_MAX,
  ATTEMPTS_PER_ORIGIN_MAX,
  CODES_MAX,
  CODES_PER_ORIGIN_MAX
} from '../../../../src/members/joining/constants.ts'
import {
  type Admission,
  dueAtMs,
  type Effect,
  type Facts,
  isNobody,
  type JoinEvent,
  type JoiningPeer,
  NOBODY,
  step
} from '../../../../src/members/joining/peer-machine.ts'

const PEER = 'peer'
const ORIGIN = '192.0.2.1'
const NONCE = Buffer.alloc(32, 1)
const COMMIT = Buffer.alloc(32, 2)
const NO_FACTS: Facts = {
  nowMs: 0,
  isPrivate: false,
  strangers: { all: 0, ofOrigin: 0 },
  attempts: { all: 0, ofOrigin: 0 },
  codes: { all: 0, ofOrigin: 0 }
}

function admissionOf(instance: number): Admission {
  return { peer: PEER, instance: Buffer.alloc(16, instance), chain: [], aheadMs: 0 }
}

const FIRST = admissionOf(1)
const SECOND = admissionOf(2)
const hello: JoinEvent = { event: 'hello', origin: ORIGIN, commit: undefined, nonce: NONCE }
const committed: JoinEvent = { ...hello, commit: COMMIT }
const asked: JoinEvent = {
  event: 'asked',
  attempt: {
    peer: PEER,
    key: NONCE,
    x25519: NONCE,
    name: 'laptop',
    role: 'writer',
    code: 'K7Q2ZD',
    origin: ORIGIN,
    sinceMs: 5
  }
}
const connected: JoinEvent = { event: 'connected' }
const timer: JoinEvent = { event: 'timer' }
const denied: JoinEvent = { event: 'decided', decision: 'denied' }
const granted: JoinEvent = { event: 'decided', decision: 'granted' }

interface Row {
  name: string
  /** Each event has the time at which it happens; by default the time of the previous event. */
  events: Array<JoinEvent | [number, JoinEvent]>
  /** The effects of the last event. */
  effects?: string[]
  is?: Partial<Record<'greeted' | 'waits' | 'stage' | 'hangUpAtMs' | 'decision' | 'nobody', unknown>>
  facts?: Partial<Facts>
}

/** These facts are true for the last event only. */
function run({ events, facts = {} }: Row): { peer: JoiningPeer; effects: Effect[] } {
  let peer = NOBODY
  let effects: Effect[] = []
  let nowMs = 0
  for (const [i, item] of events.entries()) {
    const [atMs, event] = Array.isArray(item) ? item : [nowMs, item]
    nowMs = atMs
    const isLast = i === events.length - 1
    const result = step(peer, event, { ...NO_FACTS, ...(isLast ? facts : {}), nowMs })
    if (!isLast) assert.ok(!result.effects.some(effect => effect.do === 'refuse'), `event ${i} is refused`)
    peer = result.next
    effects = result.effects
  }
  return { peer, effects }
}

const said = (effect: Effect): string => (effect.do === 'refuse' ? `refuse ${effect.status}` : effect.do)

const TABLE: Row[] = [
  { name: 'a connection makes a stranger', events: [connected], is: { hangUpAtMs: STRANGER_MS } },
  { name: 'a stranger that stays one is hung up on', events: [connected, [STRANGER_MS, timer]], effects: ['hang-up'] },
  {
    name: 'a hang-up that fails is tried again',
    events: [connected, [STRANGER_MS, timer]],
    effects: ['hang-up'],
    is: { hangUpAtMs: 2 * STRANGER_MS }
  },
  { name: 'a hello takes a place', events: [connected, hello], is: { greeted: JOIN_TIMEOUT_MS } },
  {
    name: 'a hello is refused when all places are taken',
    events: [connected, hello],
    facts: { strangers: { all: JOINING_MAX, ofOrigin: 0 } },
    effects: ['refuse busy']
  },
  {
    name: 'a hello is refused when the places of its address are taken',
    events: [connected, hello],
    facts: { strangers: { all: 2, ofOrigin: JOINING_PER_ADDRESS_MAX } },
    effects: ['refuse busy']
  },
  {
    name: 'a member always gets a place',
    events: [connected, { ...hello, origin: undefined } as JoinEvent],
    facts: { strangers: { all: JOINING_MAX, ofOrigin: JOINING_MAX } },
    is: { greeted: JOIN_TIMEOUT_MS }
  },
  {
    name: 'a peer says hello no more often than a place allows',
    events: [connected, ...new Array<JoinEvent>(HELLOS_MAX + 1).fill(hello)],
    effects: ['refuse busy'],
    is: { greeted: JOIN_TIMEOUT_MS }
  },
  {
    name: 'a new place allows as many times hello again',
    events: [connected, ...new Array<JoinEvent>(HELLOS_MAX).fill(hello), [JOIN_TIMEOUT_MS, timer], hello],
    is: { greeted: 2 * JOIN_TIMEOUT_MS }
  },
  {
    name: 'another hello extends neither time nor proofs',
    events: [connected, hello, { event: 'proving' }, [5_000, hello]],
    is: { greeted: JOIN_TIMEOUT_MS }
  },
  {
    name: 'a place is free when its time is over',
    events: [connected, hello, [JOIN_TIMEOUT_MS, timer]],
    is: { greeted: undefined, hangUpAtMs: STRANGER_MS }
  },
  { name: 'a place is free when its peer hangs up', events: [hello, { event: 'disconnected' }], is: { nobody: true } },
  {
    name: 'a proof without a hello is refused',
    events: [connected, { event: 'proving' }],
    effects: ['refuse invalid']
  },
  {
    name: 'too many proofs are refused',
    events: [connected, hello, ...new Array<JoinEvent>(PROOFS_MAX + 1).fill({ event: 'proving' })],
    effects: ['refuse busy']
  },
  {
    name: 'a commitment is refused when its address has drawn all its codes',
    events: [connected, committed],
    facts: { codes: { all: 8, ofOrigin: CODES_PER_ORIGIN_MAX } },
    effects: ['refuse busy']
  },
  {
    name: 'a commitment is refused when strangers have drawn all codes, even of a peer with a place',
    events: [connected, hello, committed],
    facts: { codes: { all: CODES_MAX, ofOrigin: 0 } },
    effects: ['refuse busy']
  },
  {
    name: 'a reveal without a commitment is refused',
    events: [hello, { event: 'revealed' }],
    effects: ['refuse invalid']
  },
  {
    name: 'a second reveal is refused',
    events: [committed, { event: 'revealed' }, { event: 'revealed' }],
    effects: ['refuse invalid']
  },
  {
    name: 'a machine that asks may stay until its attempt ends',
    events: [connected, committed, { event: 'revealed' }, asked],
    is: { waits: ATTEMPT_MS, hangUpAtMs: undefined }
  },
  {
    name: 'an attempt is refused when too many wait',
    events: [connected, asked],
    facts: { attempts: { all: ATTEMPTS_MAX, ofOrigin: 0 } },
    effects: ['refuse busy']
  },
  {
    name: 'an attempt is refused when too many of its address wait',
    events: [connected, asked],
    facts: { attempts: { all: 2, ofOrigin: ATTEMPTS_PER_ORIGIN_MAX } },
    effects: ['refuse busy']
  },
  {
    name: 'an attempt outlives its connection',
    events: [connected, asked, { event: 'disconnected' }],
    is: { waits: ATTEMPT_MS, nobody: false }
  },
  {
    name: 'an attempt ends when its machine gives up',
    events: [connected, asked, { event: 'gave-up' }],
    effects: ['answer-wait'],
    is: { waits: undefined, hangUpAtMs: STRANGER_MS }
  },
  {
    name: 'a machine cannot take back what a person has decided',
    events: [connected, asked, denied, { event: 'gave-up' }],
    is: { decision: 'denied', waits: ATTEMPT_MS }
  },
  {
    name: 'an attempt ends, and its machine is told',
    events: [connected, asked, [ATTEMPT_MS, timer]],
    effects: ['answer-wait'],
    is: { waits: undefined, hangUpAtMs: ATTEMPT_MS + STRANGER_MS }
  },
  { name: 'a decision is told at once', events: [connected, asked, granted], effects: ['answer-wait'] },
  { name: 'a decision is told once', events: [connected, asked, denied, denied], effects: [] },
  { name: 'a grant counts after a refusal', events: [connected, asked, denied, granted], is: { decision: 'granted' } },
  {
    name: 'a refusal does not count after a grant',
    events: [connected, asked, granted, denied],
    is: { decision: 'granted' }
  },
  {
    name: 'a machine that was turned away gets no other code before its attempt ends',
    events: [connected, asked, denied, [9, asked]],
    is: { decision: 'denied', waits: ATTEMPT_MS, hangUpAtMs: STRANGER_MS }
  },
  {
    name: 'a machine that asks again takes its own place',
    events: [connected, asked, [9, asked]],
    is: { waits: 9 + ATTEMPT_MS }
  },
  {
    name: 'a peer whose proof we accepted may ask',
    events: [connected, hello, { event: 'proved', admission: FIRST }],
    is: { stage: 'proven' }
  },
  {
    name: 'a peer that confirms our proof is admitted',
    events: [connected, hello, { event: 'proved', admission: FIRST }, { event: 'confirmed' }],
    effects: ['admitted'],
    is: { stage: 'announced', greeted: undefined, hangUpAtMs: undefined }
  },
  {
    name: 'a stranger cannot confirm',
    events: [connected, hello, { event: 'confirmed' }],
    effects: ['refuse not-admitted']
  },
  {
    name: 'our own dial admits a peer that it finds valid',
    events: [connected, { event: 'entered', admission: FIRST }, { event: 'announced', admission: FIRST }],
    effects: ['admitted'],
    is: { stage: 'announced' }
  },
  {
    name: 'two dials at once make one admission',
    events: [
      { event: 'entered', admission: FIRST },
      { event: 'proved', admission: admissionOf(1) },
      { event: 'confirmed' },
      { event: 'announced', admission: FIRST }
    ],
    effects: [],
    is: { stage: 'announced' }
  },
  {
    name: 'an admission that the other side refused is withdrawn',
    events: [connected, { event: 'entered', admission: FIRST }, { event: 'withdrawn', admission: FIRST }],
    effects: [],
    is: { stage: undefined }
  },
  {
    name: 'an announced admission is not withdrawn',
    events: [{ event: 'entered', admission: FIRST }, { event: 'confirmed' }, { event: 'withdrawn', admission: FIRST }],
    is: { stage: 'announced' }
  },
  {
    name: 'a restarted process takes the place of the earlier one',
    events: [{ event: 'entered', admission: FIRST }, { event: 'confirmed' }, { event: 'proved', admission: SECOND }],
    effects: ['departed'],
    is: { stage: 'proven' }
  },
  {
    name: 'an admission ends with the connection',
    events: [connected, { event: 'entered', admission: FIRST }, { event: 'confirmed' }, { event: 'disconnected' }],
    effects: ['departed'],
    is: { nobody: true }
  },
  {
    name: 'a peer that was expelled is a stranger again',
    events: [
      connected,
      { event: 'entered', admission: FIRST },
      { event: 'confirmed' },
      [50_000, { event: 'expelled' }]
    ],
    effects: ['departed'],
    is: { stage: undefined, hangUpAtMs: 50_000 + STRANGER_MS }
  },
  {
    name: 'nobody departs who was never announced',
    events: [connected, { event: 'entered', admission: FIRST }, { event: 'disconnected' }],
    effects: []
  },
  {
    name: 'a machine that became a member no longer waits',
    events: [connected, asked, granted, { event: 'proved', admission: FIRST }, { event: 'confirmed' }],
    is: { waits: undefined, stage: 'announced' }
  }
]

for (const row of TABLE) {
  test(row.name, () => {
    const { peer, effects } = run(row)
    if (row.effects !== undefined) assert.deepEqual(effects.map(said), row.effects)
    const is = {
      greeted: peer.greeting?.untilMs,
      waits: peer.attempt?.untilMs,
      stage: peer.admission?.stage,
      decision: peer.attempt?.decision,
      hangUpAtMs: peer.hangUpAtMs,
      nobody: isNobody(peer)
    }
    for (const [name, value] of Object.entries(row.is ?? {})) assert.deepEqual(is[name as keyof typeof is], value, name)
  })
}

test('random events keep the promises of the state machine', () => {
  const events = fc.constantFrom<JoinEvent>(
    connected,
    { event: 'disconnected' },
    { event: 'dialling' },
    { event: 'dialled' },
    { event: 'proving' },
    { event: 'confirmed' },
    { event: 'expelled' },
    { event: 'revealed' },
    { event: 'gave-up' },
    timer,
    hello,
    committed,
    asked,
    granted,
    denied,
    ...[FIRST, SECOND].flatMap(admission =>
      (['proved', 'entered', 'announced', 'withdrawn'] as const).map(event => ({ event, admission }))
    )
  )
  const walk = fc.array(fc.tuple(fc.integer({ min: 0, max: 700_000 }), events), { maxLength: 60 })
  fc.assert(
    fc.property(walk, steps => {
      let peer = NOBODY
      let nowMs = 0
      let announced = 0
      const proven = new Set<Admission>()
      for (const [pauseMs, event] of steps) {
        nowMs += pauseMs
        if (dueAtMs(peer) <= nowMs) peer = step(peer, timer, { ...NO_FACTS, nowMs }).next
        const before = peer
        if (event.event === 'proved' || event.event === 'entered') proven.add(event.admission)
        const { next, effects } = step(peer, event, { ...NO_FACTS, nowMs })
        peer = next
        for (const effect of effects) {
          if (effect.do === 'admitted') assert.ok(proven.has(effect.admission), 'only a proof admits')
          if (effect.do === 'refuse') assert.deepEqual(next, before, 'what is refused changes nothing')
          announced += { admitted: 1, departed: -1 }[effect.do as 'admitted' | 'departed'] ?? 0
        }
        const isAnnounced = peer.admission?.stage === 'announced'
        assert.equal(announced, isAnnounced ? 1 : 0, 'each admission that is told ends once')
        if (peer.hangUpAtMs === undefined && peer.isConnected)
          assert.ok(isAnnounced || peer.attempt?.decision === undefined, 'a stranger does not stay')
        if (peer.greeting !== undefined)
          assert.ok(peer.greeting.proofsLeft >= 0 && peer.greeting.untilMs <= nowMs + JOIN_TIMEOUT_MS)
        if (event.event === 'disconnected') assert.equal(peer.admission, undefined)
      }
    })
  )
})
