import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CODES_CHANGED_MAX } from '../../../../src/members/entering/constants.ts'
import {
  type Newcomer,
  type NewcomerEvent,
  type NewcomerFacts,
  newcomer,
  nextState,
  type Step
} from '../../../../src/members/entering/newcomer-machine.ts'
import { seededChance } from '../../../fixtures/seeded-chance.ts'

const OURS = Buffer.alloc(32, 1)
const OTHER = Buffer.alloc(32, 2)
const GRANT = [Buffer.from('grant')]

const facts = (changes: Partial<NewcomerFacts> = {}): NewcomerFacts => ({
  hasInvite: false,
  mustChoose: false,
  isVouched: true,
  named: 2,
  given: 2,
  targets: 2,
  ...changes
})
const at = (step: Step, changes: Partial<Newcomer> = {}): Newcomer => ({ ...newcomer(OURS), step, ...changes })
const refusal = (status: Extract<NewcomerEvent, { event: 'refused' }>['status']): NewcomerEvent => ({
  event: 'refused',
  status
})
const granted: NewcomerEvent = { event: 'said', reply: { state: 'granted', statements: GRANT } }
const said = (state: 'waiting' | 'denied' | 'over'): NewcomerEvent => ({ event: 'said', reply: { state } })
const entered = (outcome: 'expired' | 'revoked' | 'used-up' | 'elsewhere'): NewcomerEvent => ({
  event: 'entered',
  reply: { outcome, statements: [] },
  isMember: false
})
/** A peer of which nothing but its address is known. */
const UNKNOWN = { isVouched: false }
const round = (changes: Partial<Newcomer['round']>): Newcomer['round'] => ({ ...newcomer(OURS).round, ...changes })
const last = { target: 1 }

/** A state, an event, and where that leads. */
const TABLE: Array<[what: string, from: Newcomer, event: NewcomerEvent, to: string, facts?: Partial<NewcomerFacts>]> = [
  ['a member answers', at({ at: 'looking' }), { event: 'found', network: OURS }, 'greeting'],
  [
    'the first member that answers names the network',
    { ...newcomer(undefined) },
    { event: 'found', network: OTHER },
    'greeting'
  ],
  [
    'nobody but the words tells that the network is right',
    { ...newcomer(undefined) },
    { event: 'found', network: OTHER },
    'choosing',
    { mustChoose: true }
  ],
  [
    'a network that was chosen is not asked for again',
    at({ at: 'looking' }),
    { event: 'found', network: OURS },
    'greeting',
    { mustChoose: true }
  ],
  ['another network answers', at({ at: 'looking' }), { event: 'found', network: OTHER }, 'looking 1'],
  ['the last address is silent', at({ at: 'looking' }, last), { event: 'silent' }, 'pausing silence 0'],
  ['an address is silent', at({ at: 'looking' }), { event: 'silent' }, 'looking 1'],
  ['yes', { ...newcomer(undefined), step: { at: 'choosing', found: OURS } }, { event: 'yes' }, 'greeting'],
  ['no', { ...newcomer(undefined), step: { at: 'choosing', found: OURS } }, { event: 'no' }, 'ended declined'],
  ['a greeting without an invite', at({ at: 'greeting' }), { event: 'greeted', network: OURS }, 'asking'],
  [
    'a greeting with an invite',
    at({ at: 'greeting' }),
    { event: 'greeted', network: OURS },
    'entering',
    { hasInvite: true }
  ],
  ['the network changed meanwhile', at({ at: 'greeting' }), { event: 'greeted', network: OTHER }, 'looking 1'],
  ['the member is gone at the greeting', at({ at: 'greeting' }), { event: 'silent' }, 'looking 1'],
  ['the member is full', at({ at: 'greeting' }), refusal('busy'), 'looking 1'],
  [
    'all members are full',
    at({ at: 'greeting' }, { ...last, round: round({ busy: 1 }) }),
    refusal('busy'),
    'pausing busy 0'
  ],
  [
    'the member is full, and the others let nobody in',
    at({ at: 'greeting' }, { ...last, round: round({ refused: 1 }) }),
    refusal('busy'),
    'pausing busy 0'
  ],
  ['the request arrived', at({ at: 'asking' }), { event: 'asked' }, 'waiting'],
  ['the member is no admin', at({ at: 'asking' }), refusal('forbidden'), 'looking 1'],
  [
    'no address is that of an admin',
    at({ at: 'asking' }, { ...last, round: round({ refused: 1 }) }),
    refusal('forbidden'),
    'ended nobody-admits'
  ],
  [
    'an admin may be at the silent address',
    at({ at: 'asking' }, { ...last, round: round({ silent: 1 }) }),
    refusal('forbidden'),
    'pausing silence 0'
  ],
  ['an admin is busy', at({ at: 'asking' }), refusal('busy'), 'looking 1'],
  ['the hello is too old', at({ at: 'asking' }, last), refusal('invalid'), 'pausing busy 0'],
  ['the clock is off', at({ at: 'asking' }), refusal('clock-off'), 'ended clock-off'],
  ['the member has changed its network', at({ at: 'asking' }), refusal('wrong-network'), 'looking 1'],
  ['the member has an error of its own', at({ at: 'asking' }), refusal('internal'), 'looking 1'],
  ['the grant of an earlier start is there', at({ at: 'asking' }), granted, 'checking'],
  [
    'the invite lets in',
    at({ at: 'entering' }),
    { event: 'entered', reply: { outcome: 'granted', statements: GRANT }, isMember: false },
    'checking'
  ],
  ['the member may not admit with this invite', at({ at: 'entering' }), entered('elsewhere'), 'looking 1'],
  ['the invite has expired', at({ at: 'entering' }), entered('expired'), 'ended expired'],
  ['the invite was revoked', at({ at: 'entering' }), entered('revoked'), 'ended revoked'],
  ['the invite is used up', at({ at: 'entering' }), entered('used-up'), 'ended used-up'],
  ['the member calls the invite invalid', at({ at: 'entering' }), refusal('invalid'), 'looking 1'],
  ['nobody has decided yet', at({ at: 'waiting' }), said('waiting'), 'waiting'],
  ['a person says yes', at({ at: 'waiting' }), granted, 'checking'],
  ['a person says no', at({ at: 'waiting' }), said('denied'), 'ended denied'],
  ['the time is over', at({ at: 'waiting' }), said('over'), 'looking 0'],
  ['the member forgot the attempt', at({ at: 'waiting' }), refusal('invalid'), 'looking 0'],
  [
    'the fourth code is over',
    at({ at: 'waiting' }, { codesChanged: CODES_CHANGED_MAX }),
    said('over'),
    'ended gave-up'
  ],
  ['the connection ends', at({ at: 'waiting' }), { event: 'silent' }, 'lost'],
  ['the member is back', at({ at: 'lost' }), { event: 'reconnected' }, 'waiting'],
  ['the member is still away', at({ at: 'lost' }), { event: 'silent' }, 'lost'],
  ['the time is over while the member is away', at({ at: 'lost' }), { event: 'over' }, 'looking 0'],
  [
    'the statements are right',
    at({ at: 'checking', statements: GRANT }),
    { event: 'checked', isValid: true },
    'granted'
  ],
  [
    'the statements are wrong',
    at({ at: 'checking', statements: GRANT }),
    { event: 'checked', isValid: false },
    'looking 1'
  ],
  ['the pause is over', at({ at: 'pausing', reason: 'busy' }), { event: 'paused' }, 'looking 0'],
  ['it is in already', at({ at: 'granted', statements: GRANT }), said('denied'), 'granted'],
  [
    'all addresses are of other networks',
    at({ at: 'looking' }, { ...last, round: round({ foreign: 1 }) }),
    { event: 'found', network: OTHER },
    'ended foreign'
  ],
  [
    'the machine that the owner names is of another network, and the member that the invite names is away',
    at({ at: 'looking' }, { ...last, round: round({ foreign: 1 }) }),
    { event: 'silent' },
    'ended foreign',
    { named: 1 }
  ],
  [
    'a network nearby is another one, which says nothing',
    at({ at: 'looking' }, { target: 2 }),
    { event: 'found', network: OTHER },
    'pausing silence 0',
    { targets: 3 }
  ],
  ['an address becomes known meanwhile', at({ at: 'looking' }, last), { event: 'silent' }, 'looking 2', { targets: 3 }],
  ['an unknown peer says that the invite is used up', at({ at: 'entering' }), entered('used-up'), 'looking 1', UNKNOWN],
  [
    'a peer shows that it is a member, and says that the invite is used up',
    at({ at: 'entering' }),
    { ...entered('used-up'), isMember: true } as NewcomerEvent,
    'ended used-up',
    UNKNOWN
  ],
  ['an unknown peer says that a person says no', at({ at: 'waiting' }), said('denied'), 'looking 1', UNKNOWN],
  ['an unknown peer says that the clock is off', at({ at: 'asking' }), refusal('clock-off'), 'looking 1', UNKNOWN],
  ['an unknown peer says that the code is over', at({ at: 'waiting' }), said('over'), 'looking 1', UNKNOWN],
  [
    'an unknown peer says no, and the other address was silent',
    at({ at: 'waiting' }, { ...last, round: round({ silent: 1 }) }),
    said('denied'),
    'pausing silence 0',
    UNKNOWN
  ],
  [
    'an unknown peer says no, and nobody else is left to ask',
    at({ at: 'waiting' }, { ...last, round: round({ refused: 1 }) }),
    said('denied'),
    'ended denied',
    UNKNOWN
  ],
  [
    'an unknown peer ends its fourth code, and another address was silent',
    at({ at: 'waiting' }, { ...last, codesChanged: CODES_CHANGED_MAX, round: round({ silent: 1 }) }),
    said('over'),
    'pausing silence 0',
    UNKNOWN
  ],
  [
    'a peer nearby says that it may not admit, and nobody else is known',
    at({ at: 'entering' }),
    entered('elsewhere'),
    'pausing silence 0',
    { ...UNKNOWN, named: 0, given: 0, targets: 1 }
  ],
  ['an event of another step', at({ at: 'looking' }), granted, 'looking 0']
]

function shown({ step, target }: Newcomer): string {
  if (step.at === 'ended') return `ended ${step.reason}`
  if (step.at === 'pausing') return `pausing ${step.reason} ${target}`
  return step.at === 'looking' ? `looking ${target}` : step.at
}

for (const [what, from, event, to, changes] of TABLE)
  test(`a newcomer, ${shown(from)}: ${what}`, () => {
    assert.equal(shown(nextState(from, event, facts(changes))), to)
  })

test('a network that only an unknown peer named is forgotten with that peer', () => {
  const facts2 = facts(UNKNOWN)
  const named = nextState(newcomer(undefined), { event: 'found', network: OTHER }, facts2)
  assert.deepEqual(named.network, OTHER)
  const next = nextState(named, { event: 'silent' }, facts2)
  assert.deepEqual([next.network, next.target], [undefined, 1])
  const ours = nextState(next, { event: 'found', network: OURS }, facts())
  assert.deepEqual(nextState(ours, { event: 'silent' }, facts()).network, OURS)
})

test('a newcomer that walks at random is let in only with statements that were checked, into the first network only', () => {
  const chance = seededChance(20)
  const pick = <T>(items: readonly T[]): T => items[Math.floor(chance.fraction() * items.length)] as T
  const events: NewcomerEvent[] = [
    ...[OURS, OTHER].map(network => ({ event: 'found' as const, network })),
    ...[OURS, OTHER].map(network => ({ event: 'greeted' as const, network })),
    ...(['silent', 'yes', 'no', 'asked', 'reconnected', 'over', 'paused'] as const).map(event => ({ event })),
    ...(['busy', 'forbidden', 'invalid', 'internal'] as const).map(refusal),
    ...[true, false].map(isValid => ({ event: 'checked' as const, isValid })),
    ...(['waiting', 'over'] as const).map(said),
    granted,
    entered('elsewhere'),
    { event: 'entered', reply: { outcome: 'granted', statements: GRANT }, isMember: false }
  ]
  let granteds = 0
  for (let walk = 0; walk < 10_000; walk++) {
    const hasInvite = chance.fraction() < 0.5
    let state = newcomer(hasInvite ? OURS : undefined)
    for (let i = 0; i < 60 && state.step.at !== 'ended'; i++) {
      const before = state
      const event = pick(events)
      state = nextState(state, event, facts({ hasInvite, mustChoose: chance.fraction() < 0.5 }))
      assert.ok(state.codesChanged <= CODES_CHANGED_MAX && state.target < 2)
      if (before.network !== undefined) assert.equal(state.network, before.network)
      if (state.step.at !== 'granted') continue
      assert.equal(before.step.at, before.step.at === 'granted' ? 'granted' : 'checking')
      granteds++
      break
    }
  }
  assert.ok(granteds > 20, String(granteds))
})
