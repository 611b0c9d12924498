import { CliError, codeOfAny, reasonOf } from '../terminal/errors.ts'
import { report } from '../terminal/exit.ts'
import { hideProgress } from '../terminal/progress.ts'

/** Collects the failures of single files in a tree while the transfer of the other files continues. */
export class FileFailures {
  readonly #verb: string
  readonly #isJson: boolean
  #count = 0
  /** The code of all failures, or `failed` if they have different codes. */
  #code = 'failed'

  /** `verb` is the participle in messages such as "not put". */
  constructor(verb: string, isJson: boolean) {
    this.#verb = verb
    this.#isJson = isJson
  }

  /** Reports immediately that a file was left out, and why. */
  add(name: string, error: unknown): void {
    const code = codeOfAny(error)
    this.#code = this.#count === 0 || this.#code === code ? code : 'failed'
    this.#count++
    hideProgress()
    report(new CliError(code, `${name}: ${reasonOf(error)}`), this.#isJson)
  }

  /**
   * Throws if any file was left out. If all failures have the same code, the error has that code. Otherwise its code is
   * `failed`.
   */
  end(): void {
    hideProgress()
    if (this.#count === 0) return
    const code = this.#code === 'invalid' ? 'failed' : this.#code
    throw new CliError(code, `${this.#count} could not be ${this.#verb}; all others were`)
  }
}
