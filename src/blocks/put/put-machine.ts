import type { Ranking } from '../rank.ts'
import { askHeld, heldInVain, noteWait } from './chain.ts'
import {
  beginConfirming,
  beginPushing,
  confirmRest,
  countRecord,
  forgive,
  forgiveOne,
  noteConfirmed,
  noteOwn,
  notePushed,
  settle
} from './confirming.ts'
import { askMoreForAll, computeDebts, noteAnswer, placeBlock } from './placing.ts'
import { memberOf, type PutAsk, type PutEvent, type PutState } from './put-state.ts'
import type { Step } from './step.ts'
import { owedBy } from './yes.ts'

/**
 * Decides for one put, or for one record without blocks: which members are asked to keep which block, who is asked
 * instead of a member that does not, who must confirm the root, to whom the record is pushed, and when to say yes
 * (`yes.ts`). It is a state machine: events go in, and requests (`PutAsk`) come out. It does nothing itself and has no
 * clock, so every run of it can be replayed. `PutDriver` carries out its requests.
 *
 * Each member is asked to keep each block at most once. A member is asked for the root again only if it said that it
 * lacks something, which it may do `LACKS_MAX` times, or if it is counted on for more chunks than before.
 */
export class PutMachine {
  readonly state: PutState
  #ranking: Ranking

  constructor(state: PutState, ranking: Ranking) {
    this.state = state
    this.#ranking = ranking
  }

  get ranking(): Ranking {
    return this.#ranking
  }

  /** Handles an event. Returns what is to be done now, in order. */
  handle(event: PutEvent): PutAsk[] {
    if (event.type === 'view') this.#ranking = event.ranking
    const step: Step = { state: this.state, ranking: this.#ranking, asks: [] }
    if (this.state.phase === 'over') return step.asks
    this.#apply(step, event)
    if (this.state.heldCount > 0) tendHeld(step)
    if (this.state.phase === 'placing') {
      if (isAboutMember(event)) askMoreForAll(step, event.peer)
    } else settle(step)
    return step.asks
  }

  /** Returns the number of copies of chunks that members owe by their rank and have not acknowledged. */
  owed(): number {
    let owed = 0
    for (const [, chunkCount] of this.owedBy()) owed += chunkCount
    return owed
  }

  /** Yields the members that owe chunks which they have not acknowledged, each with the number of these chunks. */
  *owedBy(): Generator<[string, number]> {
    if (this.state.isDebtOld) computeDebts(this.state, this.#ranking)
    yield* owedBy(this.state)
  }

  #apply(step: Step, event: PutEvent): void {
    const { state } = step
    switch (event.type) {
      case 'view':
        state.isDebtOld = state.chunkCount > 0 && state.hasBlocks
        state.isShort = true
        break
      case 'joined':
      case 'left':
      case 'avoided':
      case 'silent':
        noteMember(step, event)
        break
      case 'block':
        placeBlock(step, event)
        break
      case 'answer':
        noteAnswer(step, event.peer, event.key, event.answer)
        break
      case 'root':
        beginConfirming(step, event.hasNodes)
        break
      case 'confirmed':
        noteConfirmed(step, event.peer, event.lacking)
        break
      case 'record':
        beginPushing(step)
        break
      case 'pushed':
        notePushed(step, event.peer, event.answer)
        break
      case 'own':
        noteOwn(step, event.isHeld)
        break
      case 'tick':
        forgive(step)
        break
      case 'uplink':
        state.uplink = event.width
        break
      case 'wait':
        noteWait(state)
        break
      case 'late':
        state.isLate = true
    }
  }
}

/** Asks the held members whose turn it is, and no longer waits for those that cannot be asked any more. */
function tendHeld(step: Step): void {
  for (const { peer, key } of heldInVain(step.state)) noteAnswer(step, peer, key, 'lacking')
  askHeld(step)
}

type MemberEvent = Extract<PutEvent, { type: 'joined' | 'left' | 'avoided' | 'silent' }>

function isAboutMember(event: PutEvent): event is MemberEvent {
  return ['joined', 'left', 'avoided', 'silent'].includes(event.type)
}

function noteMember({ state }: Step, event: MemberEvent): void {
  const member = memberOf(state, event.peer)
  state.isShort = true
  switch (event.type) {
    case 'joined':
      member.isReachable = true
      forgiveOne(member)
      if (state.phase === 'pushing' && !state.hasBlocks) countRecord(member)
      else if (state.phase !== 'placing') confirmRest(state, member)
      return
    case 'left':
      member.isReachable = false
      return
    case 'avoided':
      member.isAvoided = event.is
      return
    case 'silent':
      member.isSilent = event.is
  }
}
