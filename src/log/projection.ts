import type { IndexOp } from '../disk/index-db.ts'
import type { Place } from '../disk/place.ts'
import type { Kind } from '../format/kinds.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { AnyStatement, Statement } from '../format/statement.ts'

/** The verdicts on a statement that a peer sends. The same words go over the wire. */
export const VERDICTS = ['ok', 'invalid', 'forbidden', 'unknown-grant', 'clock-off', 'lacking', 'unsupported'] as const

export type Verdict = (typeof VERDICTS)[number]

/** A statement that the log has accepted, and who signed it. */
export interface AcceptedStatement<K extends Kind = Kind> {
  statement: Statement<K>
  /** The Ed25519 public key that the grant names. */
  author: Uint8Array
  place: Place
}

/**
 * Returns true if a statement that was refused may be accepted later: once the grant that it names has arrived, once
 * its stamp is no longer too far ahead, or once this member has the blocks that it needs.
 */
export function isRetryable(verdict: Verdict): boolean {
  return verdict === 'unknown-grant' || verdict === 'clock-off' || verdict === 'lacking'
}

/**
 * Says who signed a statement, and whether that member was allowed to sign it. The roster of `members` implements this
 * port, and the composition root connects it.
 */
export interface Authorizer {
  authorize(statement: AnyStatement): { author: Uint8Array } | { refused: Verdict }
}

/**
 * Derives a state, such as the roster or the tree, from all statements of certain kinds. The result must not depend on
 * the order in which statements arrive, or on whether the projection sees a statement twice.
 */
export interface Projection {
  readonly kinds: ReadonlySet<Kind>
  /** Throws a `FormatError` if the statement alone shows that it breaks a rule of its kind. */
  check?(statement: Statement, author: Uint8Array): void
  /** Returns the index changes for accepted statements. It is called for one batch at a time. */
  project(items: readonly AcceptedStatement[]): Promise<IndexOp[]>
  /** Called once the index holds the statements, but not while statements are replayed at start. */
  applied?(items: readonly AcceptedStatement[], from: PeerId | null): void
  /** Returns true if the log need not keep this statement, because it has a later one that replaces it. */
  isSuperseded?(statement: Statement, author: Uint8Array): boolean
  /** Returns true if the log dropped this statement because it keeps another one, earlier or later, in its place. */
  isReplaced?(statement: Statement, author: Uint8Array): boolean
  /** Returns true if the index holds everything that `project` would write to it for this statement. */
  isIndexed?(item: AcceptedStatement): Promise<boolean>
}

/** Called with statements that were just accepted, and the peer that sent them; null if this member made them. */
export type AcceptedListener = (items: readonly AcceptedStatement[], from: PeerId | null) => void
