import { LRUCache } from 'lru-cache'
import { type EntryBody, openBody } from '../format/entry.ts'
import { FormatError, SealError } from '../format/errors.ts'
import { idOf, type Statement } from '../format/statement.ts'
import type { Log } from '../log/log.ts'
import type { KeyRing } from '../members/key-ring.ts'
import { shortHex, toHex } from '../util/bytes.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { BODIES_MAX } from './constants.ts'

/** Opens the sealed parts of records: names, sizes, keys. Opened bodies stay in memory and never go to disk. */
export class Bodies {
  readonly #statements: Pick<Log, 'get'>
  readonly #keys: KeyRing
  readonly #log: Logger
  readonly #opened = new LRUCache<string, EntryBody>({ max: BODIES_MAX })

  constructor(statements: Pick<Log, 'get'>, keys: KeyRing, logger: ComponentLogger) {
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
    const accepted = await this.#statements.get(record.id)
    return accepted?.statement.kind === 'entry'
      ? this.openStatement(accepted.statement as Statement<'entry'>)
      : undefined
  }

  /** Returns the entry that a record is about, or undefined if the log does not have the record. */
  async entryOf(record: Uint8Array): Promise<Uint8Array | undefined> {
    const accepted = await this.#statements.get(record)
    return accepted?.statement.kind === 'entry' ? (accepted.statement as Statement<'entry'>).fields.id : undefined
  }

  /** Does the same as `open` for a record whose statement the caller already has. */
  openStatement(statement: Statement<'entry'>): EntryBody | undefined {
    const known = this.#opened.get(idOf(statement))
    if (known !== undefined) return known
    const { op, body: sealed, epoch: epochId } = statement.fields
    // The delete of a file has no body.
    if (op === 'delete' && sealed === undefined) return undefined
    const epoch = this.#keys.get(epochId)
    if (epoch === undefined) return undefined
    try {
      const body = openBody(epoch.record, statement)
      this.#opened.set(idOf(statement), body)
      return body
    } catch (error) {
      if (!(error instanceof FormatError || error instanceof SealError)) throw error
      this.#log.trace('the body of record %s does not open: %s', shortHex(statement.id), reasonOf(error))
      return undefined
    }
  }

  /** Remembers the body of a record that this member has just sealed, so that it need not be opened to be read. */
  remember(statement: Statement<'entry'>, body: EntryBody): void {
    const { content, ...rest } = body
    // Copy the content, because the caller may overwrite its buffer.
    const own = content === undefined ? rest : { ...rest, content: Uint8Array.from(content) }
    this.#opened.set(idOf(statement), own)
  }
}
