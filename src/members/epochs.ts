import type { Kind } from '../format/kinds.ts'
import { idOf, type Statement } from '../format/statement.ts'
import type { AcceptedStatement, Change, Projection } from '../log/projection.ts'
import { toHex } from '../util/bytes.ts'
import type { EpochOrder } from './key-ring.ts'

export interface EpochsOptions {
  /** The id of the network, which is also the id of the first epoch. That epoch has no statement. */
  network: Uint8Array
  /** Returns true if the grant under which an epoch was opened counts. */
  isEffective: (grant: Uint8Array) => boolean
}

/**
 * The chain of epochs. An epoch's id is that of the statement that opens it, so no epoch can come before itself, and the
 * depth of each follows from the statements alone. An epoch whose predecessors are not all here has no depth yet.
 */
export class Epochs implements Projection, EpochOrder {
  readonly kinds: ReadonlySet<Kind> = new Set<Kind>(['epoch'])
  readonly #options: EpochsOptions
  readonly #first: string
  readonly #statements = new Map<string, Statement<'epoch'>>()
  readonly #listeners: Array<() => void> = []
  /** Computed when somebody asks; undefined after a change. */
  #depths: ReadonlyMap<string, number> | undefined

  constructor(options: EpochsOptions) {
    this.#options = options
    this.#first = toHex(options.network)
  }

  /** The listener is called when an epoch has been added. It must not throw. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** The ids of all epochs whose depth is known, the first one included. */
  get ids(): Uint8Array[] {
    return [...this.#known.keys()].map(id => this.#statements.get(id)?.id ?? this.#options.network)
  }

  depthOf(id: Uint8Array): number | undefined {
    return this.#known.get(toHex(id))
  }

  /**
   * Returns the SHA-256 that the key of an epoch must have; undefined for the first epoch, whose key is in no statement,
   * and for an epoch that is not known.
   */
  hashOf(id: Uint8Array): Uint8Array | undefined {
    return this.#statements.get(toHex(id))?.fields.hash
  }

  /** Call this when grants may have begun or ceased to count. */
  refresh(): void {
    this.#depths = undefined
  }

  /** Epochs have no rows in the index besides those of their statements. */
  async project(): Promise<void> {}

  applied({ added }: Change): void {
    this.load(added)
  }

  /** Adds accepted statements, in any order. */
  load(items: ReadonlyArray<Pick<AcceptedStatement, 'statement'>>): void {
    for (const { statement } of items) this.#statements.set(idOf(statement), statement as Statement<'epoch'>)
    this.refresh()
    for (const listener of this.#listeners) listener()
  }

  get #known(): ReadonlyMap<string, number> {
    this.#depths ??= this.#computeDepths()
    return this.#depths
  }

  /**
   * Goes from the first epoch to those that follow it. An epoch gets its depth once all of its predecessors have
   * theirs.
   */
  #computeDepths(): Map<string, number> {
    const depths = new Map([[this.#first, 0]])
    const missing = new Map<string, number>()
    const next = new Map<string, string[]>()
    const ready = [this.#first]
    for (const [id, { grant, fields }] of this.#statements) {
      const previous = fields.previous.map(toHex)
      if (previous.length === 0 || grant === null || !this.#options.isEffective(grant)) continue
      missing.set(id, previous.length)
      for (const before of previous) {
        const followers = next.get(before)
        if (followers === undefined) next.set(before, [id])
        else followers.push(id)
      }
    }
    for (const id of ready)
      for (const after of next.get(id) ?? []) {
        depths.set(after, Math.max(depths.get(after) ?? 0, (depths.get(id) as number) + 1))
        missing.set(after, (missing.get(after) as number) - 1)
        if (missing.get(after) === 0) ready.push(after)
      }
    // The depth of an epoch is not certain while some of its predecessors are unknown: they may still raise it.
    for (const [id, count] of missing) if (count > 0) depths.delete(id)
    return depths
  }
}
