import type { Kind } from '../format/kinds.ts'
import type { Statement } from '../format/statement.ts'
import type { AcceptedStatement, Change, Projection } from '../log/projection.ts'
import { compareBytes, equalBytes, toHex } from '../util/bytes.ts'
import { HANDOVERS_MAX } from './constants.ts'

/** A handover of an epoch's key to this member. */
export type Handover = AcceptedStatement<'handover'>

/**
 * The handovers that are for this member, and that have not been used yet: the last one of each signer for each epoch.
 * All other handovers are only in the log. If there are too many, the oldest are forgotten, and this member asks for
 * the key again.
 */
export class Handovers implements Projection {
  readonly kinds: ReadonlySet<Kind> = new Set<Kind>(['handover'])
  readonly #recipients: ReadonlySet<string>
  /** By epoch and signer, in the order of arrival. */
  readonly #unused = new Map<string, Handover>()
  readonly #listeners: Array<() => void> = []

  /**
   * `recipients` are the public keys that handovers to this member name: its own and, if it has it, the recovery key.
   */
  constructor(recipients: readonly Uint8Array[]) {
    this.#recipients = new Set(recipients.map(toHex))
  }

  /** The listener is called when a handover for this member has arrived. It must not throw. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Returns the handovers of an epoch's key to this member. */
  of(epoch: Uint8Array): Handover[] {
    return [...this.#unused.values()].filter(({ statement }) => equalBytes(statement.fields.epoch, epoch))
  }

  /** Forgets a handover that has been used, or cannot be used. */
  drop(handover: Handover): void {
    const key = keyOf(handover)
    if (this.#unused.get(key)?.statement === handover.statement) this.#unused.delete(key)
  }

  /** Handovers have no rows in the index besides those of their statements. */
  async project(): Promise<void> {}

  applied({ added }: Change): void {
    this.load(added)
  }

  /** Adds accepted statements, in any order. */
  load(items: readonly AcceptedStatement[]): void {
    let hasChanged = false
    for (const item of items as readonly Handover[]) {
      const key = keyOf(item)
      const before = this.#unused.get(key)
      if (!this.#recipients.has(toHex(item.statement.fields.recipient))) continue
      if (before !== undefined && !isLater(item.statement, before.statement)) continue
      this.#unused.set(key, item)
      hasChanged = true
    }
    for (const key of this.#unused.keys()) {
      if (this.#unused.size <= HANDOVERS_MAX) break
      this.#unused.delete(key)
    }
    if (hasChanged) for (const listener of this.#listeners) listener()
  }
}

function keyOf({ statement, author }: Handover): string {
  const { epoch, recipient } = statement.fields
  return toHex(epoch) + toHex(recipient) + toHex(author)
}

// If two statements have the same stamp, the one with the smaller id counts.
function isLater(a: Statement, b: Statement): boolean {
  return a.hlc === b.hlc ? compareBytes(a.id, b.id) < 0 : a.hlc > b.hlc
}
