import type { IncomingMessage } from 'node:http'
import { encodeHead } from '../contract/bundle-head.ts'
import { failureIn } from '../contract/errors.ts'
import type { Json } from '../contract/json.ts'
import type { PutResult } from '../index.ts'
import { type PutFacts, textsOf } from './put-fields.ts'
import { BROKE_OFF, NoAnswerError, nodeError, notDfs, readLines } from './transport.ts'

/** A line of the answer. It says how the put of a file ended, or, without `item`, how the whole bundle ended. */
interface Answer {
  item?: number
  result?: unknown
}

/**
 * Puts of small files that share one request. Files that are put while others are under way follow them in the same
 * body, and each gets its own answer. `send` begins the request and is called at the first put.
 */
export class Bundle {
  readonly #send: (body: AsyncIterable<Uint8Array>) => Promise<IncomingMessage>
  /** The pieces of the body that will be sent next. */
  #pieces: Uint8Array[] = []
  #items = 0
  readonly #waiting = new Map<number, PromiseWithResolvers<Json<PutResult>>>()
  #wake: (() => void) | undefined
  #isOver = false
  #failure: unknown
  #running: Promise<void> | undefined

  constructor(send: (body: AsyncIterable<Uint8Array>) => Promise<IncomingMessage>) {
    this.#send = send
  }

  /**
   * Rejects with a `CliError` if the daemon refuses this file. If the whole request fails, every put under way and
   * every later put rejects with the error of the request.
   */
  put(path: string, bytes: Uint8Array, facts: PutFacts): Promise<Json<PutResult>> {
    const answer = Promise.withResolvers<Json<PutResult>>()
    if (this.#failure !== undefined) {
      answer.reject(this.#failure)
      return answer.promise
    }
    this.#waiting.set(this.#items++, answer)
    this.#pieces.push(encodeHead({ path, size: bytes.byteLength, ...textsOf(facts) }), bytes)
    this.#wake?.()
    this.#running ??= this.#run()
    return answer.promise
  }

  /** Says that no more puts follow. Resolves once the request has ended. */
  async end(): Promise<void> {
    this.#isOver = true
    this.#wake?.()
    await this.#running
  }

  async #run(): Promise<void> {
    try {
      const response = await this.#send(this.#body())
      for await (const line of readLines(response)) this.#onAnswer(line)
      throw new NoAnswerError(BROKE_OFF)
    } catch (error) {
      this.#failure = error
      for (const { reject } of this.#waiting.values()) reject(error)
      this.#waiting.clear()
    } finally {
      this.#isOver = true
      this.#wake?.()
    }
  }

  #onAnswer(line: unknown): void {
    const { item, result } = (line ?? {}) as Answer
    const error = failureIn(line)
    const failure = error === undefined ? undefined : nodeError(error)
    const answer = item === undefined ? undefined : this.#waiting.get(item)
    if (item === undefined || answer === undefined) throw failure ?? notDfs()
    this.#waiting.delete(item)
    if (failure === undefined) answer.resolve(result as Json<PutResult>)
    else answer.reject(failure)
  }

  /** Yields everything that has been put since the last piece, joined into one piece. */
  async *#body(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const pieces = this.#pieces
      this.#pieces = []
      if (pieces.length > 0) yield Buffer.concat(pieces)
      else if (this.#isOver) return
      else await new Promise<void>(resolve => (this.#wake = resolve))
    }
  }
}
