import { z } from 'zod'
import type { PeerId } from '../format/peer-id.ts'
import { type AnyStatement, idOf, type Statement } from '../format/statement.ts'
import { Batcher } from '../util/batcher.ts'
import { fromHex } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { isAbort } from '../util/errors.ts'
import { Callers, type Request, type Response, serveCalls } from '../wire/calls.ts'
import { DisconnectedError, ProtocolError, RefusedError } from '../wire/errors.ts'
import type { Host } from '../wire/host.ts'
import {
  HOLDERS_TIMEOUT_MS,
  IDS_MAX,
  PASS_ON_MAX,
  PASS_ON_MS,
  PUSH_STATEMENTS_MAX,
  PUSH_TIMEOUT_MS,
  PUSHES_IN_FLIGHT,
  SYNC_BYTES_MAX,
  SYNC_PROTOCOL
} from './constants.ts'
import type { Log, StatementClass, Verdict } from './log.ts'

const ID_BYTES = 32
const PUT_ID_BYTES = 16

const bytesOf = (length: number) =>
  z.custom<Uint8Array>(value => value instanceof Uint8Array && value.byteLength === length)
const lengths = z.array(z.number().int().positive()).max(PUSH_STATEMENTS_MAX)

const requestSchema = z.discriminatedUnion('do', [
  z.strictObject({
    do: z.literal('push'),
    lengths,
    puts: z.array(bytesOf(PUT_ID_BYTES).nullable()).max(PUSH_STATEMENTS_MAX)
  }),
  z.strictObject({
    do: z.literal('list'),
    class: z.union([z.literal(0), z.literal(1)]),
    after: bytesOf(ID_BYTES).nullable()
  }),
  z.strictObject({ do: z.literal('fetch') }),
  z.strictObject({ do: z.literal('offer') })
])

const VERDICTS = ['ok', 'invalid', 'forbidden', 'unknown-grant', 'clock-off', 'lacking', 'unsupported'] as const
const pushReply = z.object({ verdicts: z.array(z.enum(VERDICTS)) })
const fetchReply = z.object({ lengths })
const listReply = z.object({ isEnd: z.boolean() })

export interface SyncOptions {
  host: Host
  log: Log
  clock: Clock
  /** Whether this peer is an admitted member. */
  isAdmitted: (peer: PeerId) => boolean
  admitted: () => PeerId[]
  /** The last word on a record pushed with a put id: `ok` only while every block counted on us is here. */
  holdsPut: (statement: AnyStatement, put: Uint8Array, from: PeerId) => Promise<Verdict>
  onFault: (peer: PeerId) => void
}

interface Push {
  statement: Statement
  /** The put whose blocks the record rests on. */
  put: Uint8Array | null
}

/**
 * `/dfs/sync/1.0.0`: statements pushed and acknowledged, news passed on, and all that one side lacks fetched when two
 * members meet. SPEC.md has the exchange.
 */
export class Sync {
  readonly #options: SyncOptions
  readonly #callers: Callers
  readonly #pushes = new Map<PeerId, Batcher<Push, Verdict>>()
  readonly #news = new Map<PeerId, Map<string, Statement>>()
  #cancelPassOn: (() => void) | undefined

  constructor(options: SyncOptions) {
    this.#options = options
    const { host, clock, log, isAdmitted, onFault } = options
    const protocol = {
      protocol: SYNC_PROTOCOL,
      requestBytesMax: SYNC_BYTES_MAX,
      responseBytesMax: SYNC_BYTES_MAX,
      onFault
    }
    this.#callers = new Callers(host, clock, protocol)
    serveCalls(host, { ...protocol, mayAsk: isAdmitted, answer: request => this.#answer(request) })
    log.onStanding((items, from) => {
      if (from !== null)
        this.#passOn(
          items.map(({ statement }) => statement),
          from
        )
    })
    host.onPeer((event, peer) => {
      if (event === 'disconnected') this.#forget(peer)
    })
  }

  stop(): void {
    this.#cancelPassOn?.()
    this.#news.clear()
  }

  /** Hands a statement to one member; resolves with its verdict once it is durable there, or refused. */
  push(peer: PeerId, statement: Statement, put: Uint8Array | null = null): Promise<Verdict> {
    let batcher = this.#pushes.get(peer)
    if (batcher === undefined) {
      batcher = new Batcher<Push, Verdict>(pushes => this.#push(peer, pushes), {
        itemsMax: PUSH_STATEMENTS_MAX,
        bytesMax: SYNC_BYTES_MAX,
        sizeOf: ({ statement }) => statement.bytes.byteLength,
        parallel: PUSHES_IN_FLIGHT
      })
      this.#pushes.set(peer, batcher)
    }
    return batcher.add({ statement, put })
  }

  /** Tells every admitted member of statements of our own, without waiting for their answers. */
  announce(statements: readonly Statement[], except: ReadonlySet<PeerId> = new Set()): void {
    for (const peer of this.#options.admitted()) {
      if (except.has(peer)) continue
      for (const statement of statements) this.push(peer, statement).catch(() => {})
    }
  }

  /** The admitted members that have a statement, asked now; whoever does not answer does not count. */
  async holders(id: Uint8Array): Promise<PeerId[]> {
    const asked = await Promise.all(
      this.#options.admitted().map(async peer => {
        const answer = this.#callers.call(peer, { do: 'offer' }, { body: [id], timeoutMs: HOLDERS_TIMEOUT_MS })
        const lacks = await answer.then(({ body }) => body[0] !== 0).catch(() => true)
        return lacks ? [] : [peer]
      })
    )
    return asked.flat()
  }

  /** Fetches every statement of a class that a member has and we lack. Returns how many came to stand here. */
  async pull(peer: PeerId, kind: StatementClass, signal?: AbortSignal): Promise<number> {
    let after: Uint8Array | null = null
    let stood = 0
    for (;;) {
      const { fields, body } = await this.#callers.call(peer, { do: 'list', class: kind, after }, { signal })
      const { isEnd } = parsed(listReply, fields)
      const ids = splitIds(body)
      const has = await this.#options.log.has(ids)
      stood += await this.#fetch(
        peer,
        ids.filter((_, i) => has[i] === false),
        signal
      )
      const last = ids.at(-1)
      if (isEnd || last === undefined) return stood
      if (after !== null && Buffer.compare(last, after) <= 0) throw new ProtocolError('list that does not advance')
      after = last
    }
  }

  async #fetch(peer: PeerId, ids: Uint8Array[], signal?: AbortSignal): Promise<number> {
    let stood = 0
    let rest = ids
    while (rest.length > 0) {
      const asked = rest.slice(0, PUSH_STATEMENTS_MAX)
      const { fields, body } = await this.#callers.call(
        peer,
        { do: 'fetch' },
        { body: asked, signal, expectBytes: SYNC_BYTES_MAX }
      )
      const statements = splitBody(body, parsed(fetchReply, fields).lengths)
      // The other side answers in the order we asked, as many as fit; what it has lost meanwhile comes as nothing.
      if (statements.length === 0) return stood
      const verdicts = await this.#options.log.receive(statements, peer)
      stood += verdicts.filter(verdict => verdict === 'ok').length
      rest = rest.slice(statements.length)
    }
    return stood
  }

  async #push(peer: PeerId, pushes: Push[]): Promise<Verdict[]> {
    const { fields } = await this.#callers.call(
      peer,
      {
        do: 'push',
        lengths: pushes.map(({ statement }) => statement.bytes.byteLength),
        puts: pushes.map(({ put }) => put)
      },
      { body: pushes.map(({ statement }) => statement.bytes), timeoutMs: PUSH_TIMEOUT_MS }
    )
    const { verdicts } = parsed(pushReply, fields)
    if (verdicts.length !== pushes.length) throw new ProtocolError('push with a verdict missing')
    return verdicts
  }

  async #answer({ peer, fields, body }: Request): Promise<Response> {
    const request = requestSchema.safeParse(fields)
    if (!request.success) throw new RefusedError('invalid')
    const { log, holdsPut } = this.#options
    switch (request.data.do) {
      case 'push': {
        const { lengths, puts } = request.data
        const statements = splitBody(body, lengths)
        if (puts.length !== statements.length) throw new RefusedError('invalid')
        const verdicts = await log.receive(statements, peer, async (statement, i) => {
          const put = puts[i] ?? null
          return put === null ? 'ok' : holdsPut(statement, put, peer)
        })
        return { status: 'ok', fields: { verdicts } }
      }
      case 'list': {
        const { class: kind, after } = request.data
        const ids = await log.list(kind, after ?? undefined, IDS_MAX)
        return { status: 'ok', fields: { isEnd: ids.length < IDS_MAX }, body: ids }
      }
      case 'fetch': {
        const found: Uint8Array[] = []
        let bytes = 0
        for (const id of splitIds(body).slice(0, PUSH_STATEMENTS_MAX)) {
          const standing = await log.get(id)
          // What was superseded since it was listed is left out, and the asker's count must still come out.
          const statement = standing?.statement.bytes ?? Uint8Array.of(0)
          bytes += statement.byteLength
          if (bytes > SYNC_BYTES_MAX) break
          found.push(statement)
        }
        return { status: 'ok', fields: { lengths: found.map(({ byteLength }) => byteLength) }, body: found }
      }
      case 'offer': {
        const has = await log.has(splitIds(body))
        return { status: 'ok', body: [Uint8Array.from(has, known => (known ? 0 : 1))] }
      }
    }
  }

  // News from one member goes once to the others that lack it: ids first, since most have it from its author.
  #passOn(statements: readonly Statement[], from: PeerId): void {
    for (const peer of this.#options.admitted()) {
      if (peer === from) continue
      const news = this.#news.get(peer) ?? new Map<string, Statement>()
      this.#news.set(peer, news)
      for (const statement of statements) if (news.size < PASS_ON_MAX) news.set(idOf(statement), statement)
    }
    this.#cancelPassOn ??= this.#options.clock.after(PASS_ON_MS, () => {
      this.#cancelPassOn = undefined
      for (const [peer, news] of this.#news) {
        this.#news.delete(peer)
        this.#offer(peer, news).catch(error => {
          if (!(error instanceof DisconnectedError) && !isAbort(error)) this.#options.onFault(peer)
        })
      }
    })
  }

  async #offer(peer: PeerId, news: Map<string, Statement>): Promise<void> {
    const ids = [...news.keys()]
    for (let start = 0; start < ids.length; start += IDS_MAX) {
      const some = ids.slice(start, start + IDS_MAX)
      const { body } = await this.#callers.call(peer, { do: 'offer' }, { body: some.map(fromHex) })
      const lacking = some.filter((_, i) => body[i] === 1)
      await Promise.all(lacking.map(id => this.push(peer, news.get(id) as Statement)))
    }
  }

  #forget(peer: PeerId): void {
    this.#news.delete(peer)
    const batcher = this.#pushes.get(peer)
    this.#pushes.delete(peer)
    void batcher?.close(new DisconnectedError('the peer went away'))
  }
}

function parsed<T>(schema: z.ZodType<T>, fields: unknown): T {
  const result = schema.safeParse(fields)
  if (!result.success) throw new ProtocolError('answer with other fields than it should have')
  return result.data
}

function splitIds(body: Uint8Array): Uint8Array[] {
  if (body.byteLength % ID_BYTES !== 0 || body.byteLength > IDS_MAX * ID_BYTES)
    throw new ProtocolError('list of ids of an impossible length')
  const ids: Uint8Array[] = []
  for (let i = 0; i < body.byteLength; i += ID_BYTES) ids.push(body.subarray(i, i + ID_BYTES))
  return ids
}

function splitBody(body: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const parts: Uint8Array[] = []
  let offset = 0
  for (const length of lengths) {
    parts.push(body.subarray(offset, offset + length))
    offset += length
  }
  if (offset !== body.byteLength) throw new ProtocolError('body has not the bytes that its header states')
  return parts
}
