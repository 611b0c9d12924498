import { z } from 'zod'
import { CHAIN_MAX } from '../format/constants.ts'
import type { PeerId } from '../format/peer-id.ts'
import { publicKeyOf } from '../format/peer-id.ts'
import { decodeHlc, hlcMs } from '../format/stamp.ts'
import { decodeStatement, idOf, type Statement, verifyStatement } from '../format/statement.ts'
import { equalBytes } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { withDeadline } from '../util/deadline.ts'
import { Callers, type Request, type Response, serveCalls } from '../wire/calls.ts'
import { RefusedError } from '../wire/errors.ts'
import type { Host } from '../wire/host.ts'
import {
  ALIVE_TIMEOUT_MS,
  INSTANCE_BYTES,
  JOIN_BYTES_MAX,
  JOIN_PROTOCOL,
  JOIN_TIMEOUT_MS,
  JOINING_MAX,
  NONCE_BYTES
} from './constants.ts'
import { GrantError, WrongNetworkError } from './errors.ts'
import { Roster } from './roster.ts'
import type { Self } from './self.ts'

const bytesOf = (length: number) =>
  z.custom<Uint8Array>(value => value instanceof Uint8Array && value.byteLength === length)

const proof = {
  network: bytesOf(32),
  instance: bytesOf(INSTANCE_BYTES),
  /** Lengths of the grants in the body, the root's first. */
  lengths: z.array(z.number().int().positive()).min(1).max(CHAIN_MAX),
  /** Milliseconds since the Unix epoch, by the sender's clock. */
  now: z.number().int()
}
const proofSchema = z.object(proof)
const requestSchema = z.discriminatedUnion('do', [
  z.strictObject({ do: z.literal('hello') }),
  z.strictObject({ do: z.literal('prove'), ...proof }),
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
  self: Self
  clock: Clock
  chance: Chance
  /** Called when both sides have proven themselves. The chain has been verified and may be new to the log. */
  onAdmitted: (admission: Admission) => void
  onDeparted: (peer: PeerId) => void
  /** Called when an outbound attempt came to nothing. */
  onRejected: (peer: PeerId, error: unknown) => void
  onFault: (peer: PeerId) => void
}

/**
 * `/dfs/join/1.0.0`: both sides prove a grant bound to the peer id that the connection proved, the dialler first, before
 * anything else is heard. An admission belongs to a peer id and one start of its process, and lasts while any
 * connection between the two does. SPEC.md has the exchange.
 */
export class Join {
  readonly #options: JoinOptions
  readonly #callers: Callers
  readonly #admissions = new Map<PeerId, Admission>()
  // Proven by its grant, and not yet having said that it took ours: it may ask us, we do not ask it.
  readonly #half = new Map<PeerId, Admission>()
  readonly #greeted = new Set<PeerId>()
  readonly #attempts = new Set<PeerId>()

  constructor(options: JoinOptions) {
    this.#options = options
    const { host, clock, onFault } = options
    const protocol = {
      protocol: JOIN_PROTOCOL,
      requestBytesMax: JOIN_BYTES_MAX,
      responseBytesMax: JOIN_BYTES_MAX,
      onFault
    }
    this.#callers = new Callers(host, clock, protocol)
    serveCalls(host, { ...protocol, mayAsk: () => true, answer: request => this.#answer(request) })
    host.onPeer((event, peer) => {
      if (event === 'connected') this.#onConnected(peer)
      else this.#onDisconnected(peer)
    })
  }

  /** Whether a peer may ask us anything but to join. */
  isAdmitted(peer: PeerId): boolean {
    return this.#admissions.has(peer) || this.#half.has(peer)
  }

  /** Members that we may ask. */
  get admitted(): PeerId[] {
    return [...this.#admissions.keys()]
  }

  get admissions(): Admission[] {
    return [...this.#admissions.values()]
  }

  /** Asks every admitted member for the time again. */
  async measureClocks(): Promise<void> {
    await Promise.allSettled(
      [...this.#admissions.values()].map(async admission => {
        const sent = this.#options.clock.now()
        const { fields } = await this.#callers.call(admission.peer, { do: 'alive' })
        admission.aheadMs = Math.round(parse(aliveSchema, fields).now - (sent + this.#options.clock.now()) / 2)
      })
    )
  }

  /** Ends a member's admission; the connection stays, good for nothing but joining anew. */
  expel(peer: PeerId): void {
    this.#half.delete(peer)
    if (this.#admissions.delete(peer)) this.#options.onDeparted(peer)
  }

  // Whoever dialled shows its grant first. With connections both ways both try, and the first to succeed is enough.
  #onConnected(peer: PeerId): void {
    const isDialler = this.#options.host
      .connections()
      .some(connection => connection.peer === peer && connection.isOutbound)
    if (isDialler && !this.#attempts.has(peer)) void this.#join(peer)
  }

  #onDisconnected(peer: PeerId): void {
    this.#greeted.delete(peer)
    this.#half.delete(peer)
    if (this.#admissions.delete(peer)) this.#options.onDeparted(peer)
  }

  async #join(peer: PeerId): Promise<void> {
    const { clock, onRejected } = this.#options
    this.#attempts.add(peer)
    try {
      await withDeadline(clock, JOIN_TIMEOUT_MS, undefined, signal => this.#prove(peer, signal))
    } catch (error) {
      if (!this.#admissions.has(peer)) onRejected(peer, error)
    } finally {
      this.#attempts.delete(peer)
    }
  }

  async #prove(peer: PeerId, signal: AbortSignal): Promise<void> {
    const { self, clock } = this.#options
    const hello = await this.#callers.call(peer, { do: 'hello' }, { signal })
    const { network } = parse(helloSchema, hello.fields)
    if (!equalBytes(network, self.network))
      throw new WrongNetworkError('that node belongs to another network: its key is not ours')
    const sent = clock.now()
    const { fields, body } = await this.#callers.call(
      peer,
      { do: 'prove', ...this.#ourProof() },
      { body: chainBytes(self), signal }
    )
    const { instance, chain, now } = await this.#checkProof(peer, parse(proofSchema, fields), body)
    const aheadMs = Math.round(now - (sent + clock.now()) / 2)
    await this.#callers.call(peer, { do: 'admitted' }, { signal })
    this.#admit({ peer, instance, chain, aheadMs })
  }

  async #answer({ peer, fields, body }: Request): Promise<Response> {
    const { self, chance, clock, host } = this.#options
    const request = requestSchema.safeParse(fields)
    if (!request.success) throw new RefusedError('invalid')
    switch (request.data.do) {
      case 'hello': {
        // To a stranger: the network's id and a nonce, nothing more.
        if (this.#greeted.size >= JOINING_MAX && !this.#greeted.has(peer)) throw new RefusedError('busy')
        this.#greeted.add(peer)
        clock.after(JOIN_TIMEOUT_MS, () => this.#greeted.delete(peer))
        return { status: 'ok', fields: { network: self.network, nonce: chance.bytes(NONCE_BYTES) } }
      }
      case 'prove': {
        if (!this.#greeted.has(peer)) throw new RefusedError('invalid')
        let proven: { instance: Uint8Array; chain: Array<Statement<'grant'>>; now: number }
        try {
          proven = await this.#checkProof(peer, request.data, body)
        } catch (error) {
          if (error instanceof WrongNetworkError) throw new RefusedError('wrong-network')
          throw new RefusedError('forbidden')
        }
        if (await this.#isCopy(peer, proven.instance)) throw new RefusedError('forbidden')
        if (!host.isConnected(peer)) throw new RefusedError('busy')
        const aheadMs = Math.round(proven.now - clock.now())
        this.#half.set(peer, { peer, aheadMs, instance: proven.instance, chain: proven.chain })
        return { status: 'ok', fields: this.#ourProof(), body: chainBytes(self) }
      }
      case 'admitted': {
        const half = this.#half.get(peer)
        if (half === undefined) throw new RefusedError('not-admitted')
        this.#greeted.delete(peer)
        this.#admit(half)
        return { status: 'ok' }
      }
      case 'alive':
        // Only members are told which start of ours this is.
        if (!this.isAdmitted(peer)) throw new RefusedError('not-admitted')
        return { status: 'ok', fields: { instance: self.instance, now: clock.now() } }
    }
  }

  #admit(admission: Admission): void {
    const before = this.#admissions.get(admission.peer)
    this.#half.delete(admission.peer)
    this.#admissions.set(admission.peer, admission)
    if (before !== undefined && equalBytes(before.instance, admission.instance)) return
    this.#options.onAdmitted(admission)
  }

  /**
   * Two live processes with one peer id are a copied data directory. The one that was here first is asked whether it
   * still lives: a machine that lost power and came back is no copy.
   */
  async #isCopy(peer: PeerId, instance: Uint8Array): Promise<boolean> {
    const before = this.#admissions.get(peer)
    if (before === undefined || equalBytes(before.instance, instance)) return false
    try {
      const signal = AbortSignal.timeout(ALIVE_TIMEOUT_MS)
      const { fields } = await this.#callers.call(peer, { do: 'alive' }, { signal, timeoutMs: ALIVE_TIMEOUT_MS })
      return equalBytes(parse(aliveSchema, fields).instance, before.instance)
    } catch {
      // A connection that nobody lives behind would swallow what we ask next. The newcomer dials again.
      this.expel(peer)
      await this.#options.host.hangUp(peer).catch(() => {})
      return false
    }
  }

  #ourProof(): z.input<typeof proofSchema> {
    const { self, clock } = this.#options
    return {
      network: self.network,
      instance: self.instance,
      lengths: self.chain.map(grant => grant.bytes.byteLength),
      now: clock.now()
    }
  }

  async #checkProof(
    peer: PeerId,
    { network, instance, lengths, now }: z.output<typeof proofSchema>,
    body: Uint8Array
  ): Promise<{ instance: Uint8Array; chain: Array<Statement<'grant'>>; now: number }> {
    const { self } = this.#options
    if (!equalBytes(network, self.network))
      throw new WrongNetworkError('that node belongs to another network: its key is not ours')
    const chain: Array<Statement<'grant'>> = []
    let offset = 0
    for (const length of lengths) {
      const statement = decodeStatement(Buffer.from(body.subarray(offset, offset + length)))
      if (statement.kind !== 'grant') throw new GrantError('a chain of grants holds something else')
      chain.push(statement)
      offset += length
    }
    const authors = Roster.authorsOfChain(chain, self.network, publicKeyOf(peer))
    if (authors === undefined) throw new GrantError('the grant does not hold for this peer')
    for (const [i, grant] of chain.entries()) {
      const { notAfter } = grant.fields
      if (notAfter !== undefined && hlcMs(decodeHlc(notAfter)) < this.#options.clock.now()) {
        throw new GrantError('the grant has expired')
      }
      if (!(await verifyStatement(grant, self.network, authors[i] as Uint8Array))) {
        throw new GrantError(`the signature of grant ${idOf(grant).slice(0, 8)} is not its author's`)
      }
    }
    return { instance, chain, now }
  }
}

function chainBytes(self: Self): Uint8Array[] {
  return self.chain.map(grant => grant.bytes)
}

function parse<T>(schema: z.ZodType<T>, fields: unknown): T {
  const parsed = schema.safeParse(fields)
  if (!parsed.success) throw new GrantError('the peer does not speak this version of the join protocol')
  return parsed.data
}
