import { formatPath, type Path } from '../format/path.ts'
import { DfsError, type ErrorCode } from '../util/errors.ts'
import { partlyDone } from './partly-done.ts'

/**
 * The errors that concern one file or directory. After any other error, such as a full disk, the next item would fail
 * too.
 */
const OF_ONE_ITEM: ReadonlySet<ErrorCode> = new Set([
  'changed',
  'damaged',
  'exists',
  'invalid',
  'is-a-directory',
  'not-a-directory',
  'not-found'
])

interface Failure {
  error: unknown
  path: string
}

/** The failures of a verb that goes on with the other items of a directory if one of them fails. */
export class ItemFailures {
  #count = 0
  #first: Failure | undefined
  /** The failure that ended the verb. */
  #end: Failure | undefined

  get count(): number {
    return this.#count
  }

  /** Notes why the item at a path failed. Throws the error again if the next item would fail too. */
  note(error: unknown, path: Path): void {
    const failure = { error, path: formatPath(path) }
    if (!(error instanceof DfsError) || !OF_ONE_ITEM.has(error.code)) {
      this.#end ??= failure
      throw error
    }
    this.#count++
    this.#first ??= failure
  }

  /** Returns the error to throw because of one that ended the verb: see `partlyDone`. */
  ended(error: unknown, count: number, done: string): unknown {
    // What ended the verb may have been no item, but for example the listing.
    return partlyDone(error, count, done, this.#end?.error === error ? this.#end?.path : undefined)
  }

  /** Returns the error to throw because of the items that failed alone. `verb` is the participle, such as "copied". */
  leftOut(verb: string, count: number, done: string): unknown {
    const text = `could not be ${verb}: ${this.#count}; ${done}`
    return partlyDone(this.#first?.error, count, text, this.#first?.path)
  }
}
