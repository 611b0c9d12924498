import { sign } from 'node:crypto'
import { admitBytes } from '../../format/admit.ts'
import { approvalCode, commitOf } from '../../format/approval.ts'
import { type PeerId, publicKeyOf } from '../../format/peer-id.ts'
import { Backoff } from '../../util/backoff.ts'
import { equalBytes } from '../../util/bytes.ts'
import { withDeadline } from '../../util/deadline.ts'
import { type Logger, reasonOf } from '../../util/logger.ts'
import { DIAL_TIMEOUT_MS } from '../../wire/constants.ts'
import { RefusedError } from '../../wire/errors.ts'
import { NONCE_BYTES } from '../constants.ts'
import { ATTEMPT_MS } from '../joining/constants.ts'
import { placesIn, type WaitReply } from '../joining/entry-client.ts'
import {
  BUSY_RETRY_MS,
  BUSY_RETRY_MS_MAX,
  ENTRY_CALL_MS,
  FIRST_DIAL_MS,
  ROUND_RETRY_MS,
  ROUND_RETRY_MS_MAX,
  WAIT_PAUSE_MS
} from './constants.ts'
import { errorOf } from './errors.ts'
import { FoundPeers } from './found-peers.ts'
import {
  type NewcomerEvent,
  type NewcomerFacts,
  newcomer,
  nextState,
  type Newcomer as State
} from './newcomer-machine.ts'
import type { CheckedInvite, Entrance, Here, NewcomerOptions, Target } from './newcomer-options.ts'
import { OwnerNews } from './owner-news.ts'
import { withdraw } from './withdraw.ts'

/**
 * A machine that is not a member yet and asks to become one, with an invite or by approval. It deals with one member at
 * a time: `nextState` says what to do next, and this class does it. It goes on until it is let in, until it learns that
 * it never will be, or until its signal fires.
 */
export class Newcomer {
  readonly #options: NewcomerOptions
  readonly #log: Logger
  readonly #targets: Target[]
  readonly #found = new FoundPeers()
  readonly #rounds: Backoff
  readonly #busy: Backoff
  readonly #news: OwnerNews
  /** How long the next dial may take if there are other targets to try. */
  #dialMs = FIRST_DIAL_MS
  #here: Here | undefined
  /** The members that show a code of this machine: few, because its code may change only a few times. */
  readonly #asked = new Set<PeerId>()
  #codeUntilMs = 0
  /** When the last `wait` was sent; monotonic time. */
  #waitedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: NewcomerOptions) {
    this.#options = options
    this.#targets = [...options.targets]
    this.#log = options.logger.forComponent('dfs:members:entering')
    const { chance: jitter } = options
    this.#rounds = new Backoff({ minMs: ROUND_RETRY_MS, maxMs: ROUND_RETRY_MS_MAX, jitter })
    this.#busy = new Backoff({ minMs: BUSY_RETRY_MS, maxMs: BUSY_RETRY_MS_MAX, jitter })
    this.#news = new OwnerNews(options)
    // Anyone nearby may announce anything. Only with an invite do we ask them, since it names the network.
    if (options.invite !== undefined) options.host.onDiscovered((peer, found) => this.#onDiscovered(peer, found))
  }

  /** Resolves once this machine has been let in. Throws the reason if it never will be, or that of the signal. */
  async run(signal: AbortSignal): Promise<Entrance> {
    const { network, invite } = this.#options
    let state = newcomer(network)
    try {
      for (;;) {
        const { step } = state
        if (step.at === 'ended') throw errorOf(step.reason, invite?.notAfterMs)
        if (step.at === 'granted') return this.#entrance(state, step.statements)
        const event = await this.#do(state, signal)
        signal.throwIfAborted()
        const before = state
        state = nextState(before, event, this.#facts(before))
        if (state.step.at !== 'ended') this.#tell(before, event)
        this.#log('%s: %s', event.event, state.step.at)
      }
    } catch (error) {
      if (signal.aborted) await withdraw(this.#asked, { ...this.#options, log: this.#log })
      throw error
    } finally {
      this.#news.answered()
    }
  }

  #facts({ target }: State): NewcomerFacts {
    const { invite, choose, targets, named } = this.#options
    return {
      hasInvite: invite !== undefined,
      mustChoose: choose !== undefined && this.#targets[target]?.peer === undefined,
      isVouched: this.#targets[target]?.isVouched === true,
      named,
      given: targets.length,
      targets: this.#targets.length
    }
  }

  /** Does what the state asks for. Returns how it went. Throws only if the signal fires. */
  async #do(state: State, signal: AbortSignal): Promise<NewcomerEvent> {
    try {
      return await this.#attempt(state, signal)
    } catch (error) {
      signal.throwIfAborted()
      this.#log('%s failed: %s', state.step.at, reasonOf(error))
      if (state.step.at !== 'waiting') this.#news.failure(this.#targets[state.target], error)
      if (!(error instanceof RefusedError)) return { event: 'silent' }
      return { event: 'refused', status: error.status, places: placesIn(error) }
    }
  }

  #attempt(state: State, signal: AbortSignal): Promise<NewcomerEvent> {
    const { step } = state
    switch (step.at) {
      case 'looking':
        return this.#look(state, signal)
      case 'choosing':
        return this.#choose(state, step.found, signal)
      case 'greeting':
        return this.#greet(state, signal)
      case 'asking':
        return this.#ask(state, signal)
      case 'entering':
        return this.#enter(state, signal)
      case 'waiting':
        return this.#wait(signal)
      case 'lost':
        return this.#reconnect(state, signal)
      case 'checking':
        return this.#check(state, step.statements)
      case 'pausing':
        return this.#pause(step.reason, signal)
      case 'granted':
      case 'ended':
        throw new RangeError('nothing is left to do')
    }
  }

  async #look(state: State, signal: AbortSignal): Promise<NewcomerEvent> {
    await this.#connect(state, signal)
    const { network } = await this.#call(signal, inner => this.#options.client.hello(this.#peer, undefined, inner))
    this.#news.answered()
    return { event: 'found', network }
  }

  async #choose({ target }: State, network: Uint8Array, signal: AbortSignal): Promise<NewcomerEvent> {
    const { choose } = this.#options
    const isYes = (await choose?.(network, this.#targets[target] as Target, signal)) ?? true
    return { event: isYes ? 'yes' : 'no' }
  }

  async #greet(state: State, signal: AbortSignal): Promise<NewcomerEvent> {
    const { client, chance, invite } = this.#options
    // The peer may have hung up on this stranger while the owner compared the words.
    const here = await this.#connect(state, signal)
    const nonce = invite === undefined ? chance.bytes(NONCE_BYTES) : undefined
    const commit = nonce === undefined ? undefined : commitOf(nonce)
    const greeted = await this.#call(signal, inner => client.hello(here.peer, commit, inner))
    this.#here = { ...here, nonce, theirNonce: greeted.nonce }
    return { event: 'greeted', network: greeted.network }
  }

  async #ask({ network }: State, signal: AbortSignal): Promise<NewcomerEvent> {
    const { client, clock, device, name, role, onCode } = this.#options
    const { peer, nonce, theirNonce } = this.#here as Required<Here>
    const request = { nonce: nonce as Uint8Array, name, role, x25519: device.x25519 }
    const wait = (): Promise<WaitReply> => this.#call(signal, inner => client.wait(peer, inner))
    let state: 'asked' | 'granted'
    try {
      state = await this.#call(signal, inner => client.ask(peer, request, inner))
    } catch (error) {
      if (!(error instanceof RefusedError) || error.status !== 'forbidden') throw error
      // A member that may not let machines in has the grant too.
      const reply = await wait().catch(cause => {
        this.#log('%s may not let machines in, and does not say that we are a member: %s', peer, reasonOf(cause))
        return undefined
      })
      if (reply?.state !== 'granted') throw error
      return { event: 'said', reply }
    }
    // This machine ended after it was let in and before it knew. Nobody has to decide again, so it shows no code.
    if (state === 'granted') return { event: 'said', reply: await wait() }
    this.#asked.add(peer)
    this.#busy.reset()
    this.#rounds.reset()
    this.#codeUntilMs = clock.now() + ATTEMPT_MS
    const dialler = { key: device.publicKey, nonce: nonce as Uint8Array }
    const listener = { key: publicKeyOf(peer), nonce: theirNonce as Uint8Array }
    const code = approvalCode({ dialler, listener, network: network as Uint8Array })
    onCode({ code, network: network as Uint8Array, untilMs: this.#codeUntilMs })
    return { event: 'asked' }
  }

  async #enter({ network }: State, signal: AbortSignal): Promise<NewcomerEvent> {
    const { client, device, name, admits } = this.#options
    const invite = this.#options.invite as CheckedInvite
    const bytes = admitBytes({
      network: network as Uint8Array,
      invite: invite.id,
      key: device.publicKey,
      x25519: device.x25519
    })
    const inviteSig = sign(null, bytes, invite.key)
    const subjectSig = sign(null, bytes, device.key)
    const request = { name, x25519: device.x25519, inviteSig, subjectSig }
    const reply = await this.#call(signal, inner => client.enter(this.#peer, request, invite.statements, inner))
    const isMember = reply.outcome !== 'granted' && (await admits(reply.statements, network as Uint8Array, this.#peer))
    return { event: 'entered', reply, isMember }
  }

  async #wait(signal: AbortSignal): Promise<NewcomerEvent> {
    const { client, clock } = this.#options
    const pauseMs = this.#waitedAtMs + WAIT_PAUSE_MS - clock.monotonic()
    if (pauseMs > 0) await this.#options.clock.sleep(pauseMs, signal)
    this.#waitedAtMs = clock.monotonic()
    return { event: 'said', reply: await client.wait(this.#peer, signal) }
  }

  async #reconnect(state: State, signal: AbortSignal): Promise<NewcomerEvent> {
    if (this.#options.clock.now() > this.#codeUntilMs) return { event: 'over' }
    try {
      await this.#connect(state, signal, this.#peer)
    } catch (error) {
      signal.throwIfAborted()
      this.#log('the member where this machine waits does not answer: %s', reasonOf(error))
      await this.#options.clock.sleep(this.#rounds.nextMs(), signal)
      return { event: 'silent' }
    }
    return { event: 'reconnected' }
  }

  async #check({ network }: State, statements: readonly Uint8Array[]): Promise<NewcomerEvent> {
    const isValid = await this.#options.verify(statements, network as Uint8Array)
    return { event: 'checked', isValid }
  }

  async #pause(reason: 'silence' | 'busy', signal: AbortSignal): Promise<NewcomerEvent> {
    await this.#options.clock.sleep(reason === 'busy' ? this.#busy.nextMs() : this.#rounds.nextMs(), signal)
    this.#dialMs = Math.min(2 * this.#dialMs, DIAL_TIMEOUT_MS)
    return { event: 'paused' }
  }

  /** Connects to the current target, or to this peer at its addresses. */
  async #connect({ target }: State, outer: AbortSignal, expected?: PeerId): Promise<Here> {
    const { host, clock } = this.#options
    const { addresses = [], peer } = this.#targets[target] ?? {}
    const who = expected ?? peer
    // An address where nobody answers must not keep this machine from the next one.
    const dialMs = this.#targets.length > 1 && expected === undefined ? this.#dialMs : DIAL_TIMEOUT_MS
    const dialled = await withDeadline(clock, dialMs, outer, signal => host.dial(addresses, { signal, peer: who }))
    this.#here = { peer: dialled }
    return this.#here
  }

  #call<T>(outer: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return withDeadline(this.#options.clock, ENTRY_CALL_MS, outer, work)
  }

  get #peer(): PeerId {
    return (this.#here as Here).peer
  }

  #entrance({ network }: State, statements: readonly Uint8Array[]): Entrance {
    const address = this.#options.host.connections().find(({ peer }) => peer === this.#peer)?.address
    return { network: network as Uint8Array, statements, address }
  }

  #tell({ step, network, target }: State, event: NewcomerEvent): void {
    // A peer that only announced itself nearby may well belong to another network, so the owner need not know.
    const isGiven = target < this.#options.targets.length
    const isForeign = event.event === 'found' && isGiven && network !== undefined && !equalBytes(event.network, network)
    this.#news.answer({ step, here: this.#here, isForeign }, event)
  }

  #onDiscovered(peer: PeerId, addresses: string[]): void {
    if (this.#targets.some(target => target.peer === peer)) return
    const nearby = this.#found.take(peer, addresses)
    if (nearby.length > 0) this.#targets.push({ addresses: nearby, peer, isVouched: false })
  }
}
