import { CliError, codeOfAny, messageOf } from '../terminal/errors.ts'
import { report } from '../terminal/exit.ts'
import { hideProgress } from '../terminal/progress.ts'

/** What went wrong with single files of a tree, while the others went on. */
export class Faults {
  readonly #verb: string
  readonly #isJson: boolean
  readonly #codes: string[] = []

  /** The verb as in "not put". */
  constructor(verb: string, isJson: boolean) {
    this.#verb = verb
    this.#isJson = isJson
  }

  /** Says at once that a file was left out, and why. */
  add(name: string, error: unknown): void {
    const code = codeOfAny(error)
    this.#codes.push(code)
    hideProgress()
    report(new CliError(code, `not ${this.#verb}: ${name}: ${messageOf(error)}`), this.#isJson)
  }

  /** Throws if anything was left out: with the code that all of it has in common, if there is one. */
  end(): void {
    hideProgress()
    const [first] = this.#codes
    if (first === undefined) return
    const code = first !== 'invalid' && this.#codes.every(other => other === first) ? first : 'failed'
    throw new CliError(code, `${this.#codes.length} could not be ${this.#verb}, the rest was`)
  }
}
