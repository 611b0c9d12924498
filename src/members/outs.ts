import type { Kind } from '../format/kinds.ts'
import { type PeerId, peerIdOf } from '../format/peer-id.ts'
import type { Hlc } from '../format/stamp.ts'
import type { Statement } from '../format/statement.ts'
import type { AcceptedStatement, Change, Projection } from '../log/projection.ts'

/**
 * What admins have said about members that are gone: the stamp of the last `out` about each of them. It counts until the
 * member signs a status with a later stamp, which `Statuses` decides. The stamps are kept in memory, and loaded from the
 * log at start.
 */
export class Outs implements Projection {
  readonly kinds: ReadonlySet<Kind> = new Set<Kind>(['out'])
  readonly #last = new Map<PeerId, Hlc>()
  readonly #listeners: Array<() => void> = []

  /** The listener is called when there is a later `out` about some member. It must not throw. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** The stamp of the last `out` about a member; undefined if there is none. */
  hlcOf(peer: PeerId): Hlc | undefined {
    return this.#last.get(peer)
  }

  /** These statements have no rows in the index besides their own. */
  async project(): Promise<void> {}

  applied({ added }: Change): void {
    this.load(added)
  }

  /** Adds accepted statements, in any order. */
  load(items: readonly Pick<AcceptedStatement, 'statement'>[]): void {
    let hasChanged = false
    for (const { statement } of items) {
      const { hlc, fields } = statement as Statement<'out'>
      const peer = peerIdOf(fields.subject)
      const before = this.#last.get(peer)
      if (before !== undefined && before >= hlc) continue
      this.#last.set(peer, hlc)
      hasChanged = true
    }
    if (hasChanged) for (const listener of this.#listeners) listener()
  }
}
