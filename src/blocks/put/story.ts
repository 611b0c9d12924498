import type { BlockCid } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { reasonOf } from '../../util/logger.ts'
import { listOf, nameOf, nameOfId } from '../log-names.ts'
import type { PutLogs } from './logs.ts'
import type { KeepAnswer, PutAsk } from './put-state.ts'

/** Logs how the blocks of a put reach members: each step once, however many blocks the file has. */
export class PutStory {
  readonly #logs: PutLogs
  readonly #name: { toString(): string }
  readonly #asked = new Set<PeerId>()
  readonly #logged = new Set<string>()

  constructor(logs: PutLogs, putNumber: Uint8Array) {
    this.#logs = logs
    this.#name = nameOfId(putNumber)
  }

  /** Logs the members that are asked for the first time, and those that are asked in place of another. */
  asks(asks: readonly PutAsk[]): void {
    if (!this.#logs.placer.enabled) return
    const fresh: PeerId[] = []
    for (const ask of asks) {
      if (ask.ask !== 'keep') continue
      const { peer, inPlaceOf } = ask
      if (inPlaceOf !== undefined) this.#once(`${inPlaceOf} ${peer}`, 'asks %s in place of %s', peer, inPlaceOf)
      else if (!this.#asked.has(peer)) fresh.push(peer)
      this.#asked.add(peer)
    }
    if (fresh.length > 0) this.#logs.placer(`put %s: asks %s to keep blocks`, this.#name, listOf(new Set(fresh)))
  }

  /** Logs a member's answer about a block, with the error if it gave none. */
  answers(peer: PeerId, cid: BlockCid, answer: KeepAnswer, error?: unknown): void {
    if (answer === 'kept' || answer === 'added')
      this.#logs.placer.trace('put %s: %s keeps block %s', this.#name, peer, nameOf(cid))
    else if (answer === 'failed') this.#once(`lost ${peer}`, '%s is lost: %s', peer, reasonOf(error))
    else this.#once(`${answer} ${peer}`, NOT_KEPT[answer], peer)
  }

  /** Logs what a member said about the chunks that it was asked to confirm. */
  confirms(peer: PeerId, root: BlockCid, { chunks, lacking }: { chunks: number; lacking: number }): void {
    const { put } = this.#logs
    if (lacking === 0) put('put %s: %s confirms root %s, chunks: %d', this.#name, peer, nameOf(root), chunks)
    else put('put %s: %s lacks %d of the %d chunks that it is to keep', this.#name, peer, lacking, chunks)
  }

  confirmsNot(peer: PeerId, root: BlockCid, error: unknown): void {
    this.#logs.put('put %s: %s did not confirm root %s: %s', this.#name, peer, nameOf(root), reasonOf(error))
  }

  /** Logs that a member is silent, or is heard again. */
  silent(peer: PeerId, isSilent: boolean): void {
    if (isSilent) this.#once(`silent ${peer}`, '%s is silent: others are asked in its place', peer)
    else this.#once(`heard ${peer}`, '%s is heard again', peer)
  }

  /** Logs a step the first time that it happens, and at trace from then on. */
  #once(step: string, text: string, ...args: string[]): void {
    const { placer } = this.#logs
    if (this.#logged.has(step)) placer.trace(`put %s: ${text}`, this.#name, ...args)
    else placer(`put %s: ${text}`, this.#name, ...args)
    this.#logged.add(step)
  }
}

/** The log text for each answer of a member that does not keep a block. */
const NOT_KEPT = {
  full: '%s has no room',
  lacking: '%s could not pull a block',
  refused: '%s refuses to keep blocks'
} as const
