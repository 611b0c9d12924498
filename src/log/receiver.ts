import type { IndexDb } from '../disk/index-db.ts'
import { decodeCanonical } from '../format/canonical.ts'
import { STATEMENT_BYTES_MAX, STATEMENT_VERSION } from '../format/constants.ts'
import { FormatError, SignatureError } from '../format/errors.ts'
import { isKind, type Kind, MEMBERSHIP_KINDS } from '../format/kinds.ts'
import type { PeerId } from '../format/peer-id.ts'
import { type AnyStatement, decodeAnyStatement, idOf, type Statement, verifySignature } from '../format/statement.ts'
import { shortHex } from '../util/bytes.ts'
import { Limiter } from '../util/limiter.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import { VERIFY_AT_ONCE } from './constants.ts'
import type { EarlyStatements } from './early.ts'
import { keyOf } from './keys.ts'
import type { Authorized, Authorizer, Projection, Verdict } from './projection.ts'
import type { MessageCheck, Quotas } from './quotas.ts'
import type { NewStatement } from './rows.ts'

/** The last check of a statement that passed all others. `i` is its index in the message. */
export type FinalCheck = (statement: AnyStatement, i: number) => Promise<Verdict>

export interface ReceiverOptions {
  index: Pick<IndexDb, 'getMany'>
  early: Pick<EarlyStatements, 'has' | 'isEarly' | 'keep' | 'waits'>
  areForgotten: (ids: readonly Uint8Array[]) => Promise<boolean[]>
  /** Returns true if the row of a statement is damaged. The index may have the statement for a moment longer. */
  isLost: (id: Uint8Array) => boolean
  log: Logger
  projectionOf: (kind: AnyStatement['kind']) => Projection | undefined
  authorize: Authorizer['authorize']
  quotas: Pick<Quotas, 'checkOf'>
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
 * Decides which statements from peers the log accepts. It authorizes and verifies each statement, and hands on those
 * that pass: most are written to the log, and those that are stamped too far ahead wait.
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
    const quota = await this.#options.quotas.checkOf(received.filter(statement => typeof statement !== 'string'))
    try {
      return await this.#receiveWithin(quota, received, from, finalCheck)
    } finally {
      quota.end()
    }
  }

  async #receiveWithin(
    quota: MessageCheck,
    received: readonly Received[],
    from: PeerId,
    finalCheck: FinalCheck
  ): Promise<Verdict[]> {
    const known = await this.#known(received)
    // Keyed by id, so that a statement that a peer sends twice is written once.
    const accepted = new Map<string, NewStatement>()
    const early = new Map<string, NewStatement>()
    const verdicts = await Promise.all(
      received.map(async (statement, i): Promise<Verdict> => {
        if (typeof statement === 'string') return statement
        if (known.has(statement)) return finalCheck(statement, i)
        const { early: waiting } = this.#options
        if (waiting.has(statement) && waiting.isEarly(statement) && (await waiting.waits(statement))) return 'waiting'
        const checked = await this.#check(statement, signer => quota.fits(statement, signer, from))
        if ('verdict' in checked) return checked.verdict
        const { author, role } = checked
        const item = { statement, author, role, from }
        if (waiting.isEarly(statement)) {
          early.set(idOf(statement), item)
          return 'waiting'
        }
        const verdict = await finalCheck(statement, i)
        if (verdict === 'ok') accepted.set(idOf(statement), item)
        return verdict
      })
    )
    if (accepted.size > 0) await this.#options.write(inOrder(accepted, received))
    if (early.size > 0) await this.#keepEarly(early, received, verdicts)
    for (const [i, statement] of received.entries()) this.#report(statement, verdicts[i] as Verdict, from, accepted)
    return verdicts
  }

  /** Keeps statements that are stamped too far ahead. Changes the verdict on those for which there is no room. */
  async #keepEarly(
    early: ReadonlyMap<string, NewStatement>,
    received: readonly Received[],
    verdicts: Verdict[]
  ): Promise<void> {
    const kept = await this.#options.early.keep([...early.values()])
    for (const [i, statement] of received.entries()) {
      const item = typeof statement === 'string' ? undefined : early.get(idOf(statement))
      if (item !== undefined && !kept.has(item.statement)) verdicts[i] = 'clock-off'
    }
  }

  /** Returns the statements that the log already has, or has had and forgotten. */
  async #known(received: readonly Received[]): Promise<Set<AnyStatement>> {
    const statements = received.filter(statement => typeof statement !== 'string')
    const { index, areForgotten, isLost } = this.#options
    const places = await index.getMany(statements.map(keyOf))
    const others = statements.filter(({ id }, i) => places[i] === undefined || isLost(id))
    const forgotten = await areForgotten(others.map(({ id }) => id))
    const unknown = new Set(others.filter((_, i) => forgotten[i] !== true))
    return new Set(statements.filter(statement => !unknown.has(statement)))
  }

  /** Returns who signed a statement, if it is authorized and its signatures are valid, or else the verdict on it. */
  async #check(
    statement: AnyStatement,
    fits: (signer: Authorized) => boolean
  ): Promise<Authorized | { verdict: Verdict }> {
    const authorized = this.#authorize(statement)
    if ('verdict' in authorized) return authorized
    // This comes before the signatures, so that a member over its quota cannot keep this one busy.
    if (!this.#options.isLost(statement.id) && !fits(authorized)) return { verdict: 'over-quota' }
    const isValid = await Promise.all(
      authorized.signatures.map(signature => this.#verifications.run(() => verifySignature(signature)))
    )
    return isValid.every(Boolean) ? authorized : { verdict: 'invalid' }
  }

  #authorize(statement: AnyStatement): Authorized | { verdict: Verdict } {
    const { log, projectionOf, authorize } = this.#options
    const authorized = authorize(statement)
    if ('refused' in authorized) return { verdict: authorized.refused }
    // Statements of a kind that nothing projects are kept and passed on. A later release may need them.
    const projection = projectionOf(statement.kind)
    if (statement.kind === 'unknown' || projection === undefined) return authorized
    if (projection.isSuperseded?.(statement, authorized.author) === true) return { verdict: 'ok' }
    try {
      projection.check?.(statement as Statement, authorized.author)
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
    else if (verdict === 'waiting')
      log(
        'keeps %s %s from %s, which is stamped too far ahead, until its time has come',
        received.kind,
        shortHex(received.id),
        from
      )
    else if (verdict !== 'ok') log('refused %s %s from %s: %s', received.kind, shortHex(received.id), from, verdict)
    else if (accepted.has(idOf(received))) log('accepted %s %s from %s', received.kind, shortHex(received.id), from)
    else log.trace('%s %s from %s is known or superseded', received.kind, shortHex(received.id), from)
  }
}

/** Returns statements in the order of the message. They were added in the order in which threads verified them. */
function inOrder(accepted: ReadonlyMap<string, NewStatement>, received: readonly Received[]): NewStatement[] {
  const ids = new Set(received.map(statement => (typeof statement === 'string' ? '' : idOf(statement))))
  return [...ids].map(id => accepted.get(id)).filter(item => item !== undefined)
}

/** The membership kinds that do not authorize other statements. */
const NOT_AUTHORIZING: ReadonlySet<Kind> = new Set<Kind>(['status', 'handover', 'settings', 'out'])

function isAuthorizing(received: Received): boolean {
  if (typeof received === 'string') return false
  const { kind } = received
  return kind !== 'unknown' && MEMBERSHIP_KINDS.has(kind) && !NOT_AUTHORIZING.has(kind)
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
    return decodeAnyStatement(Buffer.from(bytes))
  } catch (error) {
    log('cannot read a statement of %d bytes: %s', bytes.byteLength, reasonOf(error))
    return isOfLaterVersion(bytes) ? 'unsupported' : 'invalid'
  }
}

/**
 * Returns true if the bytes seem to be a statement of a kind or version that we do not know, and that lacks the fields
 * which all statements share. In that case the peer may run a much newer release.
 */
function isOfLaterVersion(bytes: Uint8Array): boolean {
  if (bytes.byteLength > STATEMENT_BYTES_MAX) return false
  try {
    const { kind, v } = decodeCanonical(bytes) as { kind?: unknown; v?: unknown }
    return typeof kind === 'string' && Number.isSafeInteger(v) && (v as number) > 0 && !isOurs(kind, v)
  } catch {
    // `readStatement` has logged why the bytes cannot be read.
    return false
  }
}

function isOurs(kind: string, v: unknown): boolean {
  return isKind(kind) && v === STATEMENT_VERSION
}
