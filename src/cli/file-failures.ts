import { CliError, codeOfAny, messageOf } from '../terminal/errors.ts'
import { report } from '../terminal/exit.ts'
import { hideProgress } from '../terminal/progress.ts'

/** Collects the failures of single files in a tree while the transfer of the other files continues. */
export class FileFailures {
  readonly #verb: string
  readonly #isJson: boolean
  readonly #codes: string[] = []

  /** `verb` is the participle in messages such as "not put". */
  constructor(verb: string, isJson: boolean) {
    this.#verb = verb
    this.#isJson = isJson
  }

  /** Reports immediately that a file was left out, and why. */
  add(name: string, error: unknown): void {
    const code = codeOfAny(error)
    this.#codes.push(code)
    hideProgress()
    report(new CliError(code, `not ${this.#verb}: ${name}: ${messageOf(error)}`), this.#isJson)
  }

  /**
   * Throws if any file was left out. If all failures have the same code, the error has that code. Otherwise its code is
   * `failed`.
   */
  end(): void {
    hideProgress()
    const [first] = this.#codes
    if (first === undefined) return
    const code = first !== 'invalid' && this.#codes.every(other => other === first) ? first : 'failed'
    throw new CliError(code, `${this.#codes.length} could not be ${this.#verb}; all others were`)
  }
}
