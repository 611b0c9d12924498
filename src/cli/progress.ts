import { formatBytes } from './units.ts'

const REDRAW_MS = 200

/** A line on the terminal that says how far a transfer is, how fast, and how long it will take. Nothing in a pipe. */
export class Progress {
  readonly #isShown: boolean
  readonly #verb: string
  readonly #started = performance.now()
  #total: number | undefined
  #done = 0
  #drawnAt = 0

  constructor(verb: string, isQuiet: boolean, total?: number) {
    this.#verb = verb
    this.#isShown = !isQuiet && process.stderr.isTTY === true
    this.#total = total
  }

  /** More is to come than was known: files of a folder are found one by one. */
  expect(bytes: number): void {
    this.#total = (this.#total ?? 0) + bytes
  }

  add(bytes: number): void {
    this.#done += bytes
    const now = performance.now()
    if (!this.#isShown || now - this.#drawnAt < REDRAW_MS) return
    this.#drawnAt = now
    process.stderr.write(`\r\x1b[K${this.#text(now)}`)
  }

  /** Passes bytes through, counting them. */
  async *count<T extends Uint8Array>(source: AsyncIterable<T>): AsyncGenerator<T> {
    for await (const bytes of source) {
      this.add(bytes.byteLength)
      yield bytes
    }
  }

  end(): void {
    if (this.#isShown && this.#drawnAt > 0) process.stderr.write('\r\x1b[K')
  }

  #text(now: number): string {
    const perSecond = this.#done / Math.max(0.001, (now - this.#started) / 1000)
    const rate = `${formatBytes(Math.round(perSecond))}/s`
    if (this.#total === undefined) return `${this.#verb} ${formatBytes(this.#done)}  ${rate}`
    const left = Math.ceil(Math.max(0, this.#total - this.#done) / Math.max(1, perSecond))
    return `${this.#verb} ${formatBytes(this.#done)} of ${formatBytes(this.#total)}  ${rate}  ${left} s left`
  }
}
