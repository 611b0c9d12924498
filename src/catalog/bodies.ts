import { ENTRY_ID_BYTES, type EntryBody, type EntryRecord, openBody } from '../format/entry.ts'
import { FormatError, SealError } from '../format/errors.ts'
import { epochSubkeys } from '../format/network-key.ts'
import { secretKey } from '../format/seal.ts'
import { idOf, STATEMENT_ID_BYTES, type Statement } from '../format/statement.ts'
import type { Log } from '../log/log.ts'
import type { KeyRing } from '../members/key-ring.ts'
import { fromHex, shortHex, toHex } from '../util/bytes.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { growingCache } from '../util/lru.ts'
import { BODIES_MAX } from './constants.ts'
import { DamagedEntryError, NO_KEY, NoKeyError, UNREADABLE } from './errors.ts'

/**
 * The body of a record as this member sees it: the body itself; `sealed` if the key of its epoch is not here; `damaged`
 * if it does not open although the key is here; or `none` if the record has none, such as the delete of a file.
 */
export type BodyState = EntryBody | 'sealed' | 'damaged' | 'none'

/** Returns true if a key of an epoch, 32 bytes, opens the body of a record. */
export function opensBody(epochKey: Uint8Array, statement: Statement<'entry'>): boolean {
  try {
    openBody(secretKey(epochSubkeys(epochKey).record), statement)
    return true
  } catch (error) {
    if (error instanceof FormatError || error instanceof SealError) return false
    throw error
  }
}

/** Opens the sealed parts of records: names, sizes, keys. Opened bodies stay in memory and never go to disk. */
export class Bodies {
  readonly #statements: Pick<Log, 'get'>
  readonly #keys: Pick<KeyRing, 'get' | 'has'>
  readonly #log: Logger
  readonly #opened = growingCache<string, EntryBody>(BODIES_MAX)

  constructor(statements: Pick<Log, 'get'>, keys: Pick<KeyRing, 'get' | 'has'>, logger: ComponentLogger) {
    this.#statements = statements
    this.#log = logger.forComponent('dfs:catalog')
    this.#keys = keys
  }

  /**
   * Returns the body of a record, or undefined if the record has none, is damaged, or is sealed in an epoch whose key
   * this member lacks.
   */
  async open(record: { id: Uint8Array }): Promise<EntryBody | undefined> {
    const known = this.#opened.get(toHex(record.id))
    if (known !== undefined) return known
    const statement = await this.#statementOf(record.id)
    return statement === undefined ? undefined : this.openStatement(statement)
  }

  /**
   * Returns the body of a record, for a change that cannot be made without it. Throws a `NoKeyError` if the key of its
   * epoch is not here, and otherwise a `DamagedEntryError` if it cannot be read.
   */
  async need(record: Pick<EntryRecord, 'id' | 'epoch'>): Promise<EntryBody> {
    const body = await this.open(record)
    if (body !== undefined) return body
    if (this.isSealed(record)) throw new NoKeyError(NO_KEY)
    throw new DamagedEntryError(UNREADABLE)
  }

  /** Returns the body of a record, or why there is none. */
  async stateOf(record: Pick<EntryRecord, 'id' | 'epoch' | 'op'>): Promise<BodyState> {
    const known = this.#opened.get(toHex(record.id))
    if (known !== undefined) return known
    // A put always has a body, so the statement need not be read to know this. Otherwise a member whose row of it is
    // damaged would answer differently from the others.
    if (record.op === 'put' && this.isSealed(record)) return 'sealed'
    const statement = await this.#statementOf(record.id)
    return statement === undefined ? 'damaged' : this.stateOfStatement(statement)
  }

  /** Returns true if the key of the epoch in which the body of a record is sealed is not here. */
  isSealed({ epoch }: Pick<EntryRecord, 'epoch'>): boolean {
    return !this.#keys.has(epoch)
  }

  /** Returns the entry that a record is about, or undefined if the log does not have the record. */
  async entryOf(record: Uint8Array): Promise<Uint8Array | undefined> {
    return (await this.#statementOf(record))?.fields.id
  }

  /**
   * Returns the entry to which these hex digits belong: they are its whole id, or that of one of its records. Returns
   * undefined for any other digits.
   */
  async entryWith(digits: string): Promise<Uint8Array | undefined> {
    if (digits.length === 2 * ENTRY_ID_BYTES) return fromHex(digits)
    return digits.length === 2 * STATEMENT_ID_BYTES ? this.entryOf(fromHex(digits)) : undefined
  }

  /** Does the same as `open` for a record whose statement the caller already has. */
  openStatement(statement: Statement<'entry'>): EntryBody | undefined {
    const body = this.stateOfStatement(statement)
    return typeof body === 'string' ? undefined : body
  }

  /** Does the same as `stateOf` for a record whose statement the caller already has. */
  stateOfStatement(statement: Statement<'entry'>): BodyState {
    const known = this.#opened.get(idOf(statement))
    if (known !== undefined) return known
    const { op, body: sealed, epoch: epochId } = statement.fields
    if (op === 'delete' && sealed === undefined) return 'none'
    const epoch = this.#keys.get(epochId)
    if (epoch === undefined) return 'sealed'
    try {
      const body = openBody(epoch.record, statement)
      this.#opened.set(idOf(statement), body)
      return body
    } catch (error) {
      if (!(error instanceof FormatError || error instanceof SealError)) throw error
      this.#log.trace('the body of record %s does not open: %s', shortHex(statement.id), reasonOf(error))
      return 'damaged'
    }
  }

  /** Remembers the body of a record that this member has just sealed, so that it need not be opened to be read. */
  remember(statement: Statement<'entry'>, body: EntryBody): void {
    const { content, ...rest } = body
    // Copy the content, because the caller may overwrite its buffer.
    const own = content === undefined ? rest : { ...rest, content: Uint8Array.from(content) }
    this.#opened.set(idOf(statement), own)
  }

  async #statementOf(record: Uint8Array): Promise<Statement<'entry'> | undefined> {
    const accepted = await this.#statements.get(record)
    return accepted?.statement.kind === 'entry' ? (accepted.statement as Statement<'entry'>) : undefined
  }
}
