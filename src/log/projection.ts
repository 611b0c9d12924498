import type { IndexSink } from '../disk/index-sink.ts'
import type { Place } from '../disk/place.ts'
import type { Kind, Role } from '../format/kinds.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { AnyStatement, Signature, SomeStatement, Statement } from '../format/statement.ts'

/**
 * The verdicts on a statement that a peer sends. The same words go over the wire. `waiting` means that the statement is
 * durable here but stamped too far ahead, so that it counts only from a later time on.
 */
export const VERDICTS = [
  'ok',
  'waiting',
  'invalid',
  'forbidden',
  'unknown-grant',
  'clock-off',
  'lacking',
  'over-quota',
  'unsupported'
] as const

export type Verdict = (typeof VERDICTS)[number]

/**
 * The roles in which a statement can be signed: that of the grant that it names, or `root` for the network's root key.
 */
export const SIGNER_ROLES = ['root', 'admin', 'writer', 'reader', 'storage'] as const satisfies ReadonlyArray<
  Role | 'root'
>
export type SignerRole = (typeof SIGNER_ROLES)[number]

/** The signer of a statement. Both follow from the grant that the statement names, which never changes. */
export interface Signer {
  /** The Ed25519 public key, 32 bytes. */
  author: Uint8Array
  role: SignerRole
}

/** A statement that the log has accepted. */
export interface AcceptedStatement<K extends Kind = Kind> extends Signer {
  statement: Statement<K>
  /** The number that this member gave the statement when it accepted it. Later statements have greater numbers. */
  sequence: number
  /** When the statement reached this member, by this member's clock: milliseconds since the Unix epoch. */
  arrivedAtMs: number
  place: Place
}

/** Like `AcceptedStatement`, and possibly of a kind or version that this program does not know. */
export interface LoggedStatement extends Omit<AcceptedStatement, 'statement'> {
  statement: SomeStatement
}

/**
 * Returns true if a statement that was refused may be accepted later: once the grant that it names has arrived, once
 * there is room for a statement whose stamp is too far ahead, or once this member has the blocks that it needs. A
 * statement over a quota is not among them, since there may be any number of those: once the quota is raised, the totals
 * show that they are missing.
 */
export function isRetryable(verdict: Verdict): boolean {
  return verdict === 'unknown-grant' || verdict === 'clock-off' || verdict === 'lacking'
}

/** Returns true if a verdict says that the stamp of a statement is too far ahead of the other member's clock. */
export function isForClock(verdict: Verdict): boolean {
  return verdict === 'waiting' || verdict === 'clock-off'
}

/** Who signed a statement, and the signatures that prove it. */
export interface Authorized extends Signer {
  /** All of them must be valid. */
  signatures: readonly Signature[]
}

/**
 * Says who signed a statement, and whether that member was allowed to sign it. The roster of `members` implements this
 * port, and the composition root connects it.
 */
export interface Authorizer {
  authorize(statement: AnyStatement): Authorized | { refused: Verdict }
}

/** Statements of the kinds of one projection that begin or cease to count. */
export interface Change {
  added: readonly AcceptedStatement[]
  /** Statements that were accepted and no longer count. Nothing revokes a statement yet, so this is empty. */
  removed: readonly AcceptedStatement[]
}

/**
 * Derives a state, such as the roster or the tree, from all statements of certain kinds. The result must not depend on
 * the order in which statements arrive, or on whether the projection sees a statement twice.
 */
export interface Projection {
  readonly kinds: ReadonlySet<Kind>
  /** Throws a `FormatError` if the statement alone shows that it breaks a rule of its kind. */
  check?(statement: Statement, author: Uint8Array): void
  /**
   * Writes to the sink what the index should hold from now on. It is called for one batch at a time. It must not change
   * anything in memory, because the batch may still fail. If it throws because of a statement, the log sets that
   * statement aside.
   */
  project(change: Change, sink: IndexSink): Promise<void>
  /**
   * Called once the index holds the batch, but not while statements are replayed at start. `added` has only statements
   * that the log did not have before.
   */
  applied?(change: Change, from: PeerId | null): void
  /**
   * Returns the statements that need not be kept any longer, because one of `added` or one that was accepted earlier
   * replaces them. They may be among `added`. The log then removes them.
   */
  replacedBy?(added: readonly AcceptedStatement[]): readonly AcceptedStatement[]
  /**
   * Returns the ids of the statements that a later one has covered because of what `project` has just written to this
   * sink. They may be among those that were added. They stay in the log, but do not count in its totals any more, so
   * that members agree although each forgets such statements when it wants to. Which statements are covered must be a
   * function of all that have arrived, and must never be undone.
   */
  coveredIn?(sink: IndexSink): readonly Uint8Array[]
  /** Returns true if the log need not keep this statement, because it has a later one that replaces it. */
  isSuperseded?(statement: Statement, author: Uint8Array): boolean
  /** Returns true if the log dropped this statement because it keeps another one, earlier or later, in its place. */
  isReplaced?(statement: Statement, author: Uint8Array): boolean
  /** Returns true if the index holds everything that `project` would write to it for this statement. */
  isIndexed?(item: AcceptedStatement): Promise<boolean>
}

/** Called with statements that were just accepted, and the peer that sent them; null if this member made them. */
export type AcceptedListener = (items: readonly LoggedStatement[], from: PeerId | null) => void
