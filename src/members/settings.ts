import type { ChunkerName } from '../format/constants.ts'
import { FormatError } from '../format/errors.ts'
import type { Fields, Kind } from '../format/kinds.ts'
import { decodeReplicas } from '../format/replicas.ts'
import { compareStamps } from '../format/stamp.ts'
import { type Statement, stampOf } from '../format/statement.ts'
import type { AcceptedStatement, Change, Projection } from '../log/projection.ts'
import { compareBytes } from '../util/bytes.ts'
import {
  CHUNKER,
  DAY_MS,
  OUT_AFTER_MS,
  OUT_AFTER_MS_MIN,
  QUOTA_BYTES,
  QUOTA_STATEMENTS,
  REPLICAS_DEFAULT,
  VERSION_DAYS
} from './constants.ts'

type Key = keyof Fields<'settings'>

/** A statement that set a key, and who signed it. */
export interface Setting {
  statement: Statement<'settings'>
  author: Uint8Array
}

/**
 * The settings of the network, which its admins sign. Each key has the value that the statement with the last stamp gave
 * it, so two statements that set different keys both count. If that value is null, the default counts again. They are
 * kept in memory, and loaded from the log at start.
 *
 * `dedupe` has no effect yet.
 */
export class Settings implements Projection {
  readonly kinds: ReadonlySet<Kind> = new Set<Kind>(['settings'])
  readonly #last = new Map<Key, Setting>()
  readonly #listeners: Array<() => void> = []

  /** The listener is called when a setting has changed. It must not throw. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Returns the value of a setting; undefined if no statement has set it, or the last one has taken it back. */
  get<K extends Key>(key: K): NonNullable<Fields<'settings'>[K]> | undefined {
    return this.#last.get(key)?.statement.fields[key] ?? undefined
  }

  /** The statement that set a key, after which a new one must be stamped; undefined if there is none. */
  settingOf(key: Key): Setting | undefined {
    return this.#last.get(key)
  }

  /** The number of copies of files whose owner asks for no other number; `Infinity` for every member. */
  get replicas(): number {
    const replicas = this.get('replicas')
    return replicas === undefined ? REPLICAS_DEFAULT : decodeReplicas(replicas)
  }

  /** The number of copies for which a put waits; undefined if no admin has set it. */
  get ack(): number | undefined {
    const ack = this.get('ack')
    return ack === undefined ? undefined : decodeReplicas(ack)
  }

  /** How files are cut. */
  get chunker(): ChunkerName {
    return this.get('chunker') ?? CHUNKER
  }

  /**
   * How long a member may be behind the others, in ms. Every member uses this value, so that all agree on who is out.
   */
  get outAfterMs(): number {
    return this.get('outAfter') ?? OUT_AFTER_MS
  }

  /** How long a version is kept after it has ended, in ms. */
  get versionsKeptMs(): number {
    return (this.get('versionDays') ?? VERSION_DAYS) * DAY_MS
  }

  /** How many statements may be signed under one grant, and how many bytes of them. */
  get quota(): { statements: number; bytes: number } {
    const { statements = QUOTA_STATEMENTS, nodeBytes: bytes = QUOTA_BYTES } = this.get('quotas') ?? {}
    return { statements, bytes }
  }

  check({ fields }: Statement): void {
    const { outAfter } = fields as Fields<'settings'>
    if (typeof outAfter === 'number' && outAfter < OUT_AFTER_MS_MIN)
      throw new FormatError('the outAfter of settings is too short')
  }

  /** Settings have no rows in the index besides those of their statements. */
  async project(): Promise<void> {}

  applied({ added }: Change): void {
    this.load(added)
  }

  /** Adds accepted statements, in any order. */
  load(items: readonly Pick<AcceptedStatement, 'statement' | 'author'>[]): void {
    let hasChanged = false
    for (const setting of items as readonly Setting[]) {
      for (const key of Object.keys(setting.statement.fields) as Key[]) {
        const before = this.#last.get(key)
        if (before !== undefined && !isLater(setting, before)) continue
        this.#last.set(key, setting)
        hasChanged = true
      }
    }
    if (hasChanged) for (const listener of this.#listeners) listener()
  }
}

// If two statements have the same stamp, the one with the smaller id counts.
function isLater(a: Setting, b: Setting): boolean {
  const order = compareStamps(stampOf(a.statement, a.author), stampOf(b.statement, b.author))
  return order === 0 ? compareBytes(a.statement.id, b.statement.id) < 0 : order > 0
}
