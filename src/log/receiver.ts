import type { IndexDb } from '../disk/index-db.ts'
import { decodeCanonical } from '../format/canonical.ts'
import { FUTURE_MS_MAX, STATEMENT_BYTES_MAX, STATEMENT_VERSION } from '../format/constants.ts'
import { FormatError, SignatureError } from '../format/errors.ts'
import { isKind, type Kind, MEMBERSHIP_KINDS } from '../format/kinds.ts'
import type { PeerId } from '../format/peer-id.ts'
import { hlcMs } from '../format/stamp.ts'
import { type AnyStatement, decodeStatement, idOf, verifyStatement } from '../format/statement.ts'
import { shortHex } from '../util/bytes.ts'
import type { Clock } from '../util/clock.ts'
import { Limiter } from '../util/limiter.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import { VERIFY_AT_ONCE } from './constants.ts'
import { keyOf } from './keys.ts'
import type { Authorizer, Projection, Verdict } from './projection.ts'
import type { NewStatement } from './rows.ts'

/** The last check of a statement that passed all others. `i` is its index in the message. */
export type FinalCheck = (statement: AnyStatement, i: number) => Promise<Verdict>

export interface ReceiverOptions {
  index: Pick<IndexDb, 'getMany'>
  clock: Clock
  network: Uint8Array
  log: Logger
  projectionOf: (kind: Kind) => Projection | undefined
  authorize: Authorizer['authorize']
  /** Resolves once the statements are durable and indexed. */
  write: (items: readonly NewStatement[]) => Promise<void>
}

/** A statement decoded from a peer's bytes, or the verdict on the bytes if they cannot be decoded. */
type Received = AnyStatement | 'invalid' | 'unsupported'

/** Consecutive statements that are checked and verified together. */
interface Run {
  start: number
  received: readonly Received[]
}

/**
 * Decides which statements from peers the log accepts. It authorizes and verifies each statement, and writes those that
 * pass.
 */
export class Receiver {
  readonly #options: ReceiverOptions
  readonly #verifications = new Limiter(VERIFY_AT_ONCE)

  constructor(options: ReceiverOptions) {
    this.#options = options
  }

  async receive(all: readonly Uint8Array[], from: PeerId, finalCheck: FinalCheck): Promise<Verdict[]> {
    const verdicts: Verdict[] = []
    const { log } = this.#options
    for (const { start, received } of runsOf(all.map(bytes => readStatement(bytes, log))))
      verdicts.push(...(await this.#receiveRun(received, from, (statement, i) => finalCheck(statement, start + i))))
    return verdicts
  }

  async #receiveRun(received: readonly Received[], from: PeerId, finalCheck: FinalCheck): Promise<Verdict[]> {
    const known = await this.#known(received)
    // By id, so that a statement which a peer sends twice is written once.
    const accepted = new Map<string, NewStatement>()
    const verdicts = await Promise.all(
      received.map(async (statement, i): Promise<Verdict> => {
        if (typeof statement === 'string') return statement
        if (known.has(statement)) return finalCheck(statement, i)
        const checked = await this.#check(statement)
        if ('verdict' in checked) return checked.verdict
        const verdict = await finalCheck(statement, i)
        if (verdict === 'ok') accepted.set(idOf(statement), { statement, author: checked.author, from })
        return verdict
      })
    )
    if (accepted.size > 0) await this.#options.write([...accepted.values()])
    for (const [i, statement] of received.entries()) this.#report(statement, verdicts[i] as Verdict, from, accepted)
    return verdicts
  }

  /** Returns the statements that the log already has. */
  async #known(received: readonly Received[]): Promise<Set<AnyStatement>> {
    const statements = received.filter(statement => typeof statement !== 'string')
    const places = await this.#options.index.getMany(statements.map(keyOf))
    return new Set(statements.filter((_, i) => places[i] !== undefined))
  }

  /** Returns the author of a statement if it is authorized and its signature is valid, or else the verdict on it. */
  async #check(statement: AnyStatement): Promise<{ author: Uint8Array } | { verdict: Verdict }> {
    const authorized = this.#authorize(statement)
    if ('verdict' in authorized) return authorized
    const isValid = await this.#verifications.run(() =>
      verifyStatement(statement, this.#options.network, authorized.author)
    )
    return isValid ? authorized : { verdict: 'invalid' }
  }

  #authorize(statement: AnyStatement): { author: Uint8Array } | { verdict: Verdict } {
    const { clock, log, projectionOf, authorize } = this.#options
    const projection = projectionOf(statement.kind)
    if (projection === undefined) return { verdict: 'unsupported' }
    if (hlcMs(statement.hlc) > clock.now() + FUTURE_MS_MAX) return { verdict: 'clock-off' }
    const authorized = authorize(statement)
    if ('refused' in authorized) return { verdict: authorized.refused }
    if (projection.isSuperseded?.(statement, authorized.author) === true) return { verdict: 'ok' }
    try {
      projection.check?.(statement, authorized.author)
    } catch (error) {
      if (!(error instanceof FormatError || error instanceof SignatureError)) throw error
      log('%s %s breaks a rule of its kind: %s', statement.kind, shortHex(statement.id), reasonOf(error))
      return { verdict: 'invalid' }
    }
    return authorized
  }

  #report(received: Received, verdict: Verdict, from: PeerId, accepted: ReadonlyMap<string, NewStatement>): void {
    const { log } = this.#options
    if (!log.enabled) return
    if (typeof received === 'string') log('refused a statement from %s: %s', from, verdict)
    else if (verdict !== 'ok') log('refused %s %s from %s: %s', received.kind, shortHex(received.id), from, verdict)
    else if (accepted.has(idOf(received))) log('accepted %s %s from %s', received.kind, shortHex(received.id), from)
    else log.trace('%s %s from %s is known or superseded', received.kind, shortHex(received.id), from)
  }
}

/** The membership kinds that do not authorize other statements. */
const NOT_AUTHORIZING: ReadonlySet<Kind> = new Set<Kind>(['status', 'handover', 'settings'])

function isAuthorizing(received: Received): boolean {
  if (typeof received === 'string') return false
  return MEMBERSHIP_KINDS.has(received.kind) && !NOT_AUTHORIZING.has(received.kind)
}

/**
 * Cuts statements into runs. Each grant or other authorizing statement is a run of its own, since it may authorize the
 * statements that follow.
 */
function runsOf(received: readonly Received[]): Run[] {
  const runs: Run[] = []
  for (let start = 0; start < received.length; ) {
    let end = start + 1
    if (!isAuthorizing(received[start] as Received))
      while (end < received.length && !isAuthorizing(received[end] as Received)) end++
    runs.push({ start, received: received.slice(start, end) })
    start = end
  }
  return runs
}

function readStatement(bytes: Uint8Array, log: Logger): Received {
  try {
    // Copy the bytes, so that a statement that is kept does not keep the whole message in memory.
    return decodeStatement(Buffer.from(bytes))
  } catch (error) {
    log('cannot read a statement of %d bytes: %s', bytes.byteLength, reasonOf(error))
    return isOfLaterVersion(bytes) ? 'unsupported' : 'invalid'
  }
}

/**
 * Returns true if the bytes seem to be a statement of a kind or version that we do not know. In that case the peer may
 * run a newer release.
 */
function isOfLaterVersion(bytes: Uint8Array): boolean {
  if (bytes.byteLength > STATEMENT_BYTES_MAX) return false
  try {
    const { kind, v } = decodeCanonical(bytes) as { kind?: unknown; v?: unknown }
    return typeof kind === 'string' && Number.isSafeInteger(v) && !(isKind(kind) && v === STATEMENT_VERSION)
  } catch {
    // `readStatement` has logged why the bytes cannot be read.
    return false
  }
}
