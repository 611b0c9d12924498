import { z } from 'zod'
import type { PeerId } from '../format/peer-id.ts'
import { bytesOf } from '../format/schemas.ts'
import { decodeHlc, hlcMs } from '../format/stamp.ts'
import type { Statement } from '../format/statement.ts'
import type { Verdict } from '../log/log.ts'
import { equalBytes } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { withDeadline } from '../util/deadline.ts'
import { Callers, type Request, type Response, serveCalls } from '../wire/calls.ts'
import { RefusedError } from '../wire/errors.ts'
import type { Host } from '../wire/host.ts'
import { originOf } from './address-book.ts'
import {
  ALIVE_TIMEOUT_MS,
  INSTANCE_BYTES,
  JOIN_BYTES_MAX,
  JOIN_PROTOCOL,
  JOIN_TIMEOUT_MS,
  NONCE_BYTES,
  STRANGER_MS
} from './constants.ts'
import { ClockOffError, GrantError, WrongNetworkError } from './errors.ts'
import { ExpiringSet } from './expiring-set.ts'
import { Greetings } from './greetings.ts'
import type { LocalMember } from './local-member.ts'
import { chainOf, checkProof, type Proven, proofFields, proofOf, proofSchema } from './proof.ts'

const requestSchema = z.discriminatedUnion('do', [
  z.strictObject({ do: z.literal('hello') }),
  z.strictObject({ do: z.literal('prove'), ...proofFields }),
  z.strictObject({ do: z.literal('admitted') }),
  z.strictObject({ do: z.literal('alive') })
])
const helloSchema = z.object({ network: bytesOf(32), nonce: bytesOf(NONCE_BYTES) })
const aliveSchema = z.object({ instance: bytesOf(INSTANCE_BYTES), now: z.number().int() })

/** A member that has proven its grant on a connection that lives. */
export interface Admission {
  peer: PeerId
  /** The random number its process drew at its start. */
  instance: Uint8Array
  chain: Array<Statement<'grant'>>
  /** How far its clock is ahead of ours, in milliseconds. */
  aheadMs: number
}

export interface JoinOptions {
  host: Host
  self: LocalMember
  clock: Clock
  chance: Chance
  /** Whether a peer is a member already: strangers who knock do not keep those out. */
  isKnown?: (peer: PeerId) => boolean
  /**
   * Makes a chain that was verified stand in the log, and says whether it does. Waited for before the other side is told
   * that it is admitted: what it says next is judged by its grant.
   */
  learn?: (chain: Array<Statement<'grant'>>, peer: PeerId) => Promise<Verdict>
  /** Called when both sides have proven themselves. */
  onAdmitted: (admission: Admission) => void
  onDeparted: (peer: PeerId) => void
  /** Called when an outbound attempt came to nothing. */
  onRejected: (peer: PeerId, error: unknown) => void
  onFault: (peer: PeerId) => void
}

interface Entry {
  admission: Admission
  /** Whether `onAdmitted` has been called: not before the other side counts us in too. */
  isAnnounced: boolean
  cancelExpiry: () => void
}

/**
 * `/dfs/join/1.0.0`: both sides prove a grant bound to the peer id that the connection proved, the dialler first, before
 * anything else is heard. An admission belongs to a peer id and one start of its process, and lasts while any
 * connection between the two does. SPEC.md has the exchange.
 */
export class Join {
  readonly #options: JoinOptions
  readonly #callers: Callers
  readonly #entries = new Map<PeerId, Entry>()
  // Proven by its grant, and not yet having said that it took ours: it may ask us, we do not ask it.
  readonly #half = new Map<PeerId, Admission>()
  readonly #greetings: Greetings
  readonly #attempts = new Set<PeerId>()
  // Connected and not admitted: hung up on after a while, or strangers could take every connection there may be.
  readonly #strangers: ExpiringSet<PeerId>

  constructor(options: JoinOptions) {
    this.#options = options
    const { host, clock, onFault } = options
    const protocol = {
      protocol: JOIN_PROTOCOL,
      requestBytesMax: JOIN_BYTES_MAX,
      responseBytesMax: JOIN_BYTES_MAX,
      onFault
    }
    this.#greetings = new Greetings(clock)
    this.#strangers = new ExpiringSet({
      clock,
      ms: STRANGER_MS,
      onExpired: peer => {
        if (!this.#entries.has(peer)) void host.hangUp(peer).catch(() => {})
      }
    })
    this.#callers = new Callers(host, clock, protocol)
    serveCalls(host, { ...protocol, clock, mayAsk: () => true, answer: request => this.#answer(request) })
    host.onPeer((event, peer) => {
      if (event === 'connected') this.#strangers.add(peer)
      else this.#onDisconnected(peer)
    })
    // Whoever dialled shows its grant first. When both did both try, and the first to succeed is enough.
    host.onDialled(peer => {
      if (!this.#attempts.has(peer) && !this.#entries.has(peer) && this.#isDialler(peer)) void this.#join(peer)
    })
  }

  /** Whether a peer may ask us anything but to join. */
  isAdmitted(peer: PeerId): boolean {
    return this.#entries.has(peer) || this.#half.has(peer)
  }

  /** Members that we may ask. */
  get admitted(): PeerId[] {
    return [...this.#entries.keys()]
  }

  get admissions(): Admission[] {
    return [...this.#entries.values()].map(({ admission }) => admission)
  }

  /** Asks every admitted member for the time again; whoever has forgotten us is to join anew. */
  async measureClocks(): Promise<void> {
    const { clock, host } = this.#options
    await Promise.allSettled(
      this.admissions.map(async admission => {
        const { peer } = admission
        try {
          const sent = clock.now()
          const { fields } = await this.#callers.call(peer, { do: 'alive' })
          const { instance, now } = parse(aliveSchema, fields)
          admission.aheadMs = Math.round(now - (sent + clock.now()) / 2)
          if (equalBytes(instance, admission.instance)) return
        } catch (error) {
          if (!(error instanceof RefusedError) || error.status !== 'not-admitted') return
        }
        if (this.#entries.get(peer)?.admission !== admission) return
        this.expel(peer)
        await host.hangUp(peer)
      })
    )
  }

  /** Ends a member's admission; the connection is good for nothing but joining anew, and does not last. */
  expel(peer: PeerId): void {
    this.#remove(peer)
    if (this.#options.host.isConnected(peer)) this.#strangers.add(peer)
  }

  #isDialler(peer: PeerId): boolean {
    return this.#options.host.connections().some(connection => connection.peer === peer && connection.isOutbound)
  }

  /** Where a stranger comes from; undefined for a member. */
  #originOf(peer: PeerId): string | undefined {
    const { host, isKnown } = this.#options
    if (isKnown?.(peer) === true) return undefined
    return originOf(host.connections().find(connection => connection.peer === peer)?.address ?? '')
  }

  #onDisconnected(peer: PeerId): void {
    this.#strangers.delete(peer)
    this.#greetings.leave(peer)
    this.#remove(peer)
  }

  #remove(peer: PeerId): void {
    this.#half.delete(peer)
    const entry = this.#entries.get(peer)
    if (entry === undefined) return
    this.#entries.delete(peer)
    entry.cancelExpiry()
    if (entry.isAnnounced) this.#options.onDeparted(peer)
  }

  async #join(peer: PeerId): Promise<void> {
    const { clock, onRejected } = this.#options
    this.#attempts.add(peer)
    try {
      await withDeadline(clock, JOIN_TIMEOUT_MS, undefined, signal => this.#prove(peer, signal))
    } catch (error) {
      if (!this.#entries.has(peer)) onRejected(peer, error)
    } finally {
      this.#attempts.delete(peer)
    }
  }

  async #prove(peer: PeerId, signal: AbortSignal): Promise<void> {
    const { self, clock, learn } = this.#options
    const hello = await this.#callers.call(peer, { do: 'hello' }, { signal })
    const { network } = parse(helloSchema, hello.fields)
    if (!equalBytes(network, self.network)) throw new WrongNetworkError()
    const sent = clock.now()
    const { fields, body } = await this.#callers.call(
      peer,
      { do: 'prove', ...proofOf(self, clock) },
      { body: chainOf(self), signal }
    )
    const { instance, chain, now } = await checkProof(parse(proofSchema, fields), body, { peer, self, clock })
    const aheadMs = Math.round(now - (sent + clock.now()) / 2)
    if (await this.#isCopy(peer, instance)) throw new GrantError('two nodes run with one peer id')
    const verdict = (await learn?.(chain, peer)) ?? 'ok'
    if (verdict === 'clock-off')
      throw new ClockOffError('its grant is stamped later than now: one of our clocks is off')
    if (verdict !== 'ok') throw new GrantError('the grant does not stand here')
    signal.throwIfAborted()
    // News goes to it from here on: once it knows that it is admitted it compares what we have at that time.
    const admission = this.#enter({ peer, instance, chain, aheadMs })
    try {
      await this.#callers.call(peer, { do: 'admitted' }, { signal })
    } catch (error) {
      const entry = this.#entries.get(peer)
      if (entry?.admission === admission && !entry.isAnnounced) this.#remove(peer)
      throw error
    }
    this.#announce(admission)
  }

  async #answer({ peer, fields, body }: Request): Promise<Response> {
    const { self, chance, clock, host, learn } = this.#options
    const request = requestSchema.safeParse(fields)
    if (!request.success) throw new RefusedError('invalid')
    switch (request.data.do) {
      case 'hello': {
        // To a stranger: the network's id and a nonce, nothing more.
        if (!this.#greetings.greet(peer, this.#originOf(peer))) throw new RefusedError('busy')
        return { status: 'ok', fields: { network: self.network, nonce: chance.bytes(NONCE_BYTES) } }
      }
      case 'prove': {
        if (!this.#greetings.has(peer)) throw new RefusedError('invalid')
        if (!this.#greetings.countProof(peer)) throw new RefusedError('busy')
        let proven: Proven
        try {
          proven = await checkProof(request.data, body, { peer, self, clock })
        } catch (error) {
          if (error instanceof WrongNetworkError) throw new RefusedError('wrong-network')
          throw new RefusedError('forbidden')
        }
        if (await this.#isCopy(peer, proven.instance)) throw new RefusedError('forbidden')
        const verdict = (await learn?.(proven.chain, peer)) ?? 'ok'
        if (verdict !== 'ok') throw new RefusedError(verdict === 'clock-off' ? verdict : 'forbidden')
        if (!host.isConnected(peer)) throw new RefusedError('busy')
        const aheadMs = Math.round(proven.now - clock.now())
        this.#half.set(peer, { peer, aheadMs, instance: proven.instance, chain: proven.chain })
        return { status: 'ok', fields: proofOf(self, clock), body: chainOf(self) }
      }
      case 'admitted': {
        // With two that dial each other at once our own attempt may have counted it in already.
        const half = this.#half.get(peer) ?? this.#entries.get(peer)?.admission
        if (half === undefined) throw new RefusedError('not-admitted')
        this.#greetings.leave(peer)
        this.#announce(this.#enter(half))
        return { status: 'ok' }
      }
      case 'alive':
        // Only members are told which start of ours this is.
        if (!this.isAdmitted(peer)) throw new RefusedError('not-admitted')
        return { status: 'ok', fields: { instance: self.instance, now: Math.round(clock.now()) } }
    }
  }

  /** Counts a peer in. Gives the admission that stands: an earlier one of the same start of its process, if there is. */
  #enter(admission: Admission): Admission {
    const { peer, instance, chain } = admission
    const before = this.#entries.get(peer)?.admission
    if (before !== undefined && equalBytes(before.instance, instance)) {
      this.#half.delete(peer)
      return before
    }
    this.#remove(peer)
    this.#entries.set(peer, { admission, isAnnounced: false, cancelExpiry: this.#expireWith(admission, chain) })
    return admission
  }

  #announce(admission: Admission): void {
    const entry = this.#entries.get(admission.peer)
    if (entry?.admission !== admission || entry.isAnnounced) return
    entry.isAnnounced = true
    this.#options.onAdmitted(admission)
  }

  // An admission ends with the earliest `notAfter` on its chain.
  #expireWith(admission: Admission, chain: ReadonlyArray<Statement<'grant'>>): () => void {
    const { clock } = this.#options
    const ends = chain.flatMap(({ fields }) =>
      fields.notAfter === undefined ? [] : [hlcMs(decodeHlc(fields.notAfter))]
    )
    if (ends.length === 0) return () => {}
    return clock.after(Math.max(0, Math.min(...ends) - clock.now()), () => {
      if (this.#entries.get(admission.peer)?.admission === admission) this.expel(admission.peer)
    })
  }

  /**
   * Two live processes with one peer id are a copied data directory. The one that was here first is asked whether it
   * still lives: a machine that lost power and came back is no copy.
   */
  async #isCopy(peer: PeerId, instance: Uint8Array): Promise<boolean> {
    const before = this.#entries.get(peer)?.admission
    if (before === undefined || equalBytes(before.instance, instance)) return false
    const { clock, host } = this.#options
    try {
      const { fields } = await withDeadline(clock, ALIVE_TIMEOUT_MS, undefined, signal =>
        this.#callers.call(peer, { do: 'alive' }, { signal })
      )
      return equalBytes(parse(aliveSchema, fields).instance, before.instance)
    } catch {
      // A connection that nobody lives behind would swallow what we ask next. The newcomer dials again.
      this.expel(peer)
      await host.hangUp(peer).catch(() => {})
      return false
    }
  }
}

function parse<T>(schema: z.ZodType<T>, fields: unknown): T {
  const parsed = schema.safeParse(fields)
  if (!parsed.success) throw new GrantError('the peer does not speak this version of the join protocol')
  return parsed.data
}
