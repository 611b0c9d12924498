import assert from 'node:assert/strict'
import { PutMachine } from '../../../../src/blocks/put/put-machine.ts'
import { newPutState, type PutAsk, type PutEvent, type PutState } from '../../../../src/blocks/put/put-state.ts'
import { Ranking } from '../../../../src/blocks/rank.ts'
import { makeView } from '../../../../src/members/view.ts'
import { seededChance } from '../../../fixtures/seeded-chance.ts'

const SELF = 'self'
const ALL = Number.POSITIVE_INFINITY

/** The true state of a member. */
interface Truth {
  isHere: boolean
  isFull: boolean
  isRefusing: boolean
  /** It does not answer until it is heard again. */
  isFrozen: boolean
  isAvoided: boolean
  isKnown: boolean
  /** The blocks on its disk. */
  holds: Set<string>
  /** The chunks that the put counts on it for, as it was last told. */
  remembers: Set<number> | null
  /** The chunks that it answered for when it acknowledged the record. */
  acknowledged: Set<number>
  /** True if it has answered anything but yes since it last connected. */
  hasFailed: boolean
  asks: number
}

interface Under {
  ask: PutAsk
  peer: string
}

/**
 * Runs one put against members that a seed draws: they die, come back, freeze, are full, refuse, forget and lose blocks
 * at any moment, and answer in any order. It keeps its own, simple account of who acknowledged what, and of who could
 * still have helped.
 */
export class PutModel {
  readonly trace: string[] = []
  readonly #chance
  /** Draws what concerns chains, so that the other draws of a seed stay as they were. */
  readonly #chainChance
  readonly #members = new Map<string, Truth>()
  readonly #blocks: Array<{ key: string; chunk: number | null; digest: Uint8Array }> = []
  readonly #underWay: Under[] = []
  readonly #replicas: number
  readonly #ack: number | undefined
  readonly #hasNodes: boolean
  #machine: PutMachine
  #ranking: Ranking
  #ownTruth = true
  /** The result of the check of the own copy; undefined before the check. */
  #own: boolean | undefined
  #isLinked = false
  #answer: boolean | undefined
  #placed = new Set<string>()
  /** The members, each with a block, that said that they keep it. */
  readonly #kept = new Set<string>()
  #ticks = 0
  #joins = 0
  #isLate = false

  constructor(seed: number) {
    this.#chance = seededChance(seed)
    this.#chainChance = seededChance(~seed)
    const names = ['a', 'b', 'c', 'd', 'e'].slice(0, 1 + this.#upTo(5))
    for (const name of names)
      this.#members.set(name, {
        isHere: this.#odds(0.8),
        isFull: this.#odds(0.1),
        isRefusing: this.#odds(0.1),
        isFrozen: false,
        isAvoided: this.#odds(0.1),
        isKnown: this.#odds(0.9),
        holds: new Set(),
        remembers: null,
        acknowledged: new Set(),
        hasFailed: false,
        asks: 0
      })
    this.#replicas = this.#pick([1, 2, 2, 3, ALL])
    this.#ack = this.#pick([undefined, undefined, undefined, 1, 2, 3, ALL])
    const chunks = this.#pick([1, 1, 2, 5, 9])
    this.#hasNodes = chunks > 1
    for (let chunk = 0; chunk < chunks; chunk++) {
      const twin = chunk > 0 && this.#odds(0.1) ? this.#blocks[0] : undefined
      const digest = this.#chance.bytes(32)
      this.#blocks.push(twin === undefined ? { key: `chunk ${chunk}`, chunk, digest } : { ...twin, chunk })
    }
    if (this.#hasNodes) this.#blocks.push({ key: 'node', chunk: null, digest: this.#chance.bytes(32) })
    this.#ranking = this.#draw()
    const rule = { self: SELF, replicas: this.#replicas, ack: this.#ack, hasBlocks: true }
    this.#machine = new PutMachine(newPutState(rule), this.#ranking)
    this.trace.push(`replicas ${this.#replicas}, ack ${this.#ack}, chunks ${chunks}, members ${names}`)
  }

  run(): void {
    this.#drawUplink()
    for (const [peer, { isHere, isAvoided }] of this.#members) {
      if (isAvoided) this.#feed({ type: 'avoided', peer, is: true })
      if (isHere) this.#join(peer)
    }
    const placed = new Set<string>()
    for (const { key, chunk, digest } of this.#blocks) {
      const twin = placed.has(key) ? this.#blocks.find(block => block.key === key)?.chunk : undefined
      const isPulled = this.#chainChance.fraction() < 0.8
      this.#feed({ type: 'block', key, digest, chunk, isPulled, ...(twin == null ? {} : { sameAs: twin }) })
      placed.add(key)
      this.#somethingHappens()
    }
    this.#until('every block is placed', () => this.#placed.size === placed.size)
    this.#somethingHappens()
    this.#feed({ type: 'root', hasNodes: this.#hasNodes })
    this.#until('the root is confirmed', () => this.#isLinked)
    this.#somethingHappens()
    this.#feed({ type: 'record' })
    this.#until('it says yes or no', () => this.#answer !== undefined)
    this.#checkDebts()
  }

  /** Lets events happen and answers arrive until a condition is true. It must become true without any other help. */
  #until(what: string, isSo: () => boolean): void {
    for (let steps = 0; !isSo(); steps++) {
      // After a while, nothing goes wrong any more.
      if (steps < 60) this.#somethingHappens()
      if (isSo()) return
      if (this.#underWay.length > 0 && this.#odds(0.8)) {
        if (!this.#deliver()) this.#checkNobodyIsIdle()
      } else if (this.#ack !== undefined && this.#isLinked) this.#passTime(steps)
      else if (steps >= 60 && this.#underWay.length === 0) assert.fail(`it is stuck, and never will be so: ${what}`)
      assert.ok(steps < 5_000, `it takes for ever: ${what}`)
      // A frozen member is given up after a while.
      if (steps > 200) for (const [peer, member] of this.#members) if (member.isFrozen) this.#giveUp(peer)
    }
  }

  #passTime(steps: number): void {
    if (steps > 400) {
      this.#isLate = true
      this.#feed({ type: 'late' })
    } else {
      this.#ticks++
      this.#feed({ type: 'tick' })
    }
  }

  #somethingHappens(): void {
    if (this.#chainChance.fraction() < 0.1) this.#feed({ type: 'wait' })
    if (this.#chainChance.fraction() < 0.02) this.#drawUplink()
    if (this.#odds(0.5)) return
    const [peer, member] = this.#pick([...this.#members])
    const draw = this.#upTo(14)
    if (draw === 0 && member.isHere) this.#leave(peer)
    else if (draw === 1 && !member.isHere) this.#join(peer)
    else if (draw === 2 && member.isHere && !member.isFrozen) {
      member.isFrozen = true
      this.#feed({ type: 'silent', peer, is: true })
    } else if (draw === 3 && member.isFrozen) {
      member.isFrozen = false
      this.#feed({ type: 'silent', peer, is: false })
    } else if (draw === 4) {
      member.isAvoided = !member.isAvoided
      this.#feed({ type: 'avoided', peer, is: member.isAvoided })
    } else if (draw === 5) member.isFull = !member.isFull
    else if (draw === 6) {
      // It was restarted without us noticing: it has forgotten what the put counts on it for.
      member.remembers = null
    } else if (draw === 7 && this.#odds(0.5)) {
      const lost = this.#pick(this.#blocks).key
      member.holds.delete(lost)
    } else if (draw === 8 && this.#odds(0.3) && this.#isLinked && this.#own === undefined) this.#ownTruth = false
    else if (draw === 9 && this.#odds(0.3)) {
      this.#ranking = this.#draw()
      this.#feed({ type: 'view', ranking: this.#ranking })
    } else if (draw === 10) this.#persist()
    else if (this.#underWay.length > 0) this.#deliver()
  }

  #drawUplink(): void {
    const widths = ['unknown', 'thin', 'thin', 'wide'] as const
    const width = widths[Math.floor(this.#chainChance.fraction() * widths.length)] ?? 'thin'
    this.#feed({ type: 'uplink', width })
  }

  /** The put is stored and resumed. */
  #persist(): void {
    this.#machine = new PutMachine(structuredClone(this.#machine.state) as PutState, this.#machine.ranking)
  }

  #join(peer: string): void {
    const member = this.#truth(peer)
    member.isHere = true
    member.isFrozen = false
    member.hasFailed = false
    this.#joins++
    this.#feed({ type: 'silent', peer, is: false })
    this.#feed({ type: 'joined', peer })
  }

  #leave(peer: string): void {
    this.#truth(peer).isHere = false
    this.#feed({ type: 'left', peer })
    this.#giveUp(peer)
  }

  /** Every request to a member fails. */
  #giveUp(peer: string): void {
    for (const under of this.#underWay.filter(other => other.peer === peer)) {
      this.#underWay.splice(this.#underWay.indexOf(under), 1)
      this.#fail(under)
    }
  }

  #fail({ ask, peer }: Under): void {
    this.#truth(peer).hasFailed = true
    if (ask.ask === 'keep') this.#feed({ type: 'answer', peer, key: ask.key, answer: 'failed' })
    else if (ask.ask === 'confirm') this.#feed({ type: 'confirmed', peer, lacking: null })
    else this.#feed({ type: 'pushed', peer, answer: 'failed' })
  }

  /** Delivers one answer of any member that is not frozen. Returns false if all members are. */
  #deliver(): boolean {
    const ready = this.#underWay.filter(({ peer }) => peer === SELF || !this.#truth(peer).isFrozen)
    if (ready.length === 0) return false
    const under = this.#pick(ready)
    this.#underWay.splice(this.#underWay.indexOf(under), 1)
    const { ask, peer } = under
    if (ask.ask === 'check-own') {
      this.#own = this.#ownTruth
      this.#feed({ type: 'own', isHeld: this.#own })
    } else if (ask.ask === 'restore-own') {
      // Blocks that are missing here are fetched from any member that has them.
      const isElsewhere = this.#blocks.every(({ key }) =>
        [...this.#members.values()].some(({ isHere, holds }) => isHere && holds.has(key))
      )
      if (isElsewhere) this.#ownTruth = true
      this.#own = this.#ownTruth
      this.#feed({ type: 'own', isHeld: this.#own })
    } else if (this.#odds(0.05)) this.#fail(under)
    else this.#answerOf(under, this.#truth(peer))
    return true
  }

  /** The put waits for frozen members only. So there must be nobody else left for it to ask. */
  #checkNobodyIsIdle(): void {
    for (const [peer, { isHere, isFrozen, hasFailed, asks }] of this.#members)
      if (isHere && !isFrozen && !hasFailed)
        assert.ok(asks > 0, `it waits for frozen members, and does not ask ${peer}`)
  }

  #answerOf({ ask, peer }: Under, member: Truth): void {
    if (ask.ask === 'keep') {
      const answer = member.isRefusing ? 'refused' : member.isFull ? 'full' : this.#odds(0.05) ? 'lacking' : 'kept'
      if (answer === 'kept') {
        member.holds.add(ask.key)
        this.#kept.add(`${peer} ${ask.key}`)
      } else member.hasFailed = true
      this.#feed({ type: 'answer', peer, key: ask.key, answer })
    } else if (ask.ask === 'confirm') {
      const lacking = new Uint8Array(8)
      member.remembers = new Set()
      for (const { key, chunk } of this.#blocks) {
        if (chunk === null || !hasBit(ask.chunks, chunk)) continue
        member.remembers.add(chunk)
        if (!member.holds.has(key) && !member.isFull && this.#ownTruth && !this.#odds(0.05)) member.holds.add(key)
        if (member.holds.has(key)) continue
        member.acknowledged.delete(chunk)
        lacking[chunk >> 3] = (lacking[chunk >> 3] as number) | (1 << (chunk & 7))
        member.hasFailed = true
      }
      this.#feed({ type: 'confirmed', peer, lacking })
    } else if (ask.ask === 'push') {
      const counted = member.remembers ?? (this.#hasNodes ? null : new Set([0]))
      const hasAll = counted !== null && [...counted].every(chunk => member.holds.has(this.#keyOf(chunk)))
      if (hasAll) for (const chunk of counted) member.acknowledged.add(chunk)
      else {
        member.hasFailed = true
        member.acknowledged.clear()
      }
      this.#feed({ type: 'pushed', peer, answer: hasAll ? 'ok' : 'lacking' })
    }
  }

  #feed(event: PutEvent): void {
    this.trace.push(JSON.stringify({ ...event, digest: undefined, ranking: undefined }))
    for (const ask of this.#machine.handle(event)) this.#take(ask)
  }

  #take(ask: PutAsk): void {
    this.trace.push(`  → ${ask.ask} ${'peer' in ask ? ask.peer : ''} ${'key' in ask ? ask.key : ''}`)
    assert.equal(this.#answer, undefined, 'it asks for something after it has answered')
    switch (ask.ask) {
      case 'keep':
      case 'confirm':
      case 'push':
        this.#takeRequest(ask, ask.peer)
        return
      case 'check-own':
      case 'restore-own':
        this.#underWay.push({ ask, peer: SELF })
        return
      case 'placed':
        this.#placed.add(ask.key)
        return
      case 'link':
        this.#isLinked = true
        return
      case 'answer':
        this.#answer = ask.isYes
        this.#checkAnswer(ask.isYes)
        return
      case 'drop':
    }
  }

  #takeRequest(ask: PutAsk, peer: string): void {
    const member = this.#truth(peer)
    assert.ok(member.isHere, 'it asks a member that is not here')
    if (ask.ask === 'keep' && ask.from !== undefined) {
      assert.notEqual(ask.from, peer, 'a member is to pull from itself')
      assert.ok(this.#truth(ask.from).isHere, 'a member is to pull from one that is not here')
      assert.ok(
        this.#kept.has(`${ask.from} ${ask.key}`),
        'a member is to pull from one that did not say that it has it'
      )
    }
    member.asks++
    const bound = this.#blocks.length + 12 + 8 * (this.#ticks + this.#joins)
    assert.ok(member.asks <= bound, 'it asks a member without end')
    const same = this.#underWay.filter(other => other.peer === peer && other.ask.ask === ask.ask)
    if (ask.ask !== 'keep') assert.equal(same.length, 0, 'it asks a member the same again before it has answered')
    this.#underWay.push({ ask, peer })
  }

  /**
   * The rule for saying yes, written a second time: it is computed from the answers of members and not from the state
   * of the machine.
   */
  #checkAnswer(isYes: boolean): void {
    const copies = this.#leastCopies()
    const wanted = this.#wanted()
    if (isYes) assert.ok(copies > 0, 'a yes to a file of which a chunk is nowhere')
    assert.ok(isYes || copies < wanted, 'a no although there are enough copies')
    if (copies >= wanted) return
    if (this.#ack !== undefined) {
      assert.ok(!isYes, `a yes with ${copies} copies, where the caller asked for ${wanted}`)
      assert.ok(this.#isLate, 'a no before the time is over')
      return
    }
    assert.equal(isYes, copies > 0)
    assert.notEqual(this.#own, undefined, 'an answer before the own copy was checked')
    for (const [peer, member] of this.#members) {
      const couldHelp = member.isHere && !member.hasFailed && !(member.isFrozen && member.isAvoided)
      if (couldHelp && this.#ownTruth)
        assert.ok(
          this.#hasAllThatIsShort(member),
          `an answer with ${copies} of ${wanted} copies, and ${peer} was not asked or not waited for`
        )
    }
  }

  #leastCopies(): number {
    const copies = this.#chunks().map(chunk => {
      const others = [...this.#members.values()].filter(({ acknowledged }) => acknowledged.has(chunk)).length
      return others + (this.#own === true ? 1 : 0)
    })
    return Math.min(...copies)
  }

  #hasAllThatIsShort(member: Truth): boolean {
    const isShort = (chunk: number): boolean => {
      const others = [...this.#members.values()].filter(({ acknowledged }) => acknowledged.has(chunk)).length
      return others + (this.#own === true ? 1 : 0) < this.#wanted()
    }
    return this.#chunks().every(chunk => !isShort(chunk) || member.acknowledged.has(chunk))
  }

  #wanted(): number {
    if (this.#ack === undefined) return Math.min(2, this.#replicas)
    if (Number.isFinite(this.#ack)) return this.#ack
    const others = [...this.#members.values()].filter(({ isKnown, isHere }) => isKnown || isHere)
    return 1 + others.length
  }

  /** The reported debts are the copies that rank requires and that nobody has acknowledged. */
  #checkDebts(): void {
    if ([...this.#members.values()].some(({ isFull }) => isFull) || this.trace.some(line => line.includes('"full"')))
      return
    let owed = 0
    for (const { chunk, digest } of this.#blocks) {
      if (chunk === null) continue
      const firstDigest = (this.#blocks.find(block => block.key === this.#keyOf(chunk)) as { digest: Uint8Array })
        .digest
      for (const { peer } of this.#ranking.owners(firstDigest ?? digest, this.#replicas))
        if (peer !== SELF && !this.#truth(peer).acknowledged.has(chunk)) owed++
    }
    assert.equal(this.#machine.owed(), owed, 'what is owed')
  }

  #chunks(): number[] {
    return this.#blocks.flatMap(({ chunk }) => (chunk === null ? [] : [chunk]))
  }

  #keyOf(chunk: number): string {
    return (this.#blocks.find(block => block.chunk === chunk) as { key: string }).key
  }

  /** A ranking of the members that have sent a status. */
  #draw(): Ranking {
    const known = [SELF, ...[...this.#members].filter(([, { isKnown }]) => isKnown).map(([peer]) => peer)]
    const statuses = known.map(peer => ({
      peer,
      key: this.#chance.bytes(32),
      hlc: 1n,
      role: 'writer' as const,
      weight: 1_000_000_000,
      zone: null,
      state: 'in' as const,
      outAfterMs: 600_000
    }))
    return new Ranking(makeView(statuses, new Set()))
  }

  #truth(peer: string): Truth {
    return this.#members.get(peer) as Truth
  }

  #odds(of: number): boolean {
    return this.#chance.fraction() < of
  }

  #upTo(limit: number): number {
    return Math.floor(this.#chance.fraction() * limit)
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#upTo(list.length)] as T
  }
}

function hasBit(bits: Uint8Array, bit: number): boolean {
  return (((bits[bit >> 3] ?? 0) >> (bit & 7)) & 1) === 1
}
