import type { PeerId } from '../../format/peer-id.ts'
import type { Statement } from '../../format/statement.ts'
import type { Chance } from '../../util/chance.ts'
import { reasonOf } from '../../util/logger.ts'
import { PUT_NUMBER_BYTES } from '../constants.ts'
import { type PutId, putIdOf } from '../hold/claims.ts'
import { nameOfId } from '../log-names.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import { type AcknowledgementDeps, acknowledge, type PutOutcome } from './acknowledgement.ts'
import type { KeptFile } from './kept-file.ts'
import { type OwnCopyDeps, restoreOwnCopy } from './own-copy.ts'
import { Put, type PutDeps, type PutEnd, type PutOptions } from './put.ts'
import { PutsUnderWay } from './puts-under-way.ts'
import { type SmallBlock, SmallPut } from './small-put.ts'
import { SmallPutNumbers } from './small-puts.ts'

export interface PutsDeps
  extends PutDeps,
    Pick<AcknowledgementDeps, 'push' | 'announce' | 'hasAll'>,
    Pick<OwnCopyDeps, 'puller' | 'readNode'> {
  chance: Chance
  storeClient: PutDeps['storeClient'] & Pick<StoreClient, 'giveUp'>
  /** Lets the claims of a put end soon, because this disk had no room for it, or its caller has given it up. */
  abandon: (putId: PutId) => void
}

/** Opens puts, knows which of them are under way, and pushes their records. */
export class Puts {
  readonly #deps: PutsDeps
  readonly #acknowledging: AcknowledgementDeps
  readonly #underWay = new PutsUnderWay()
  readonly #small: SmallPutNumbers

  constructor(deps: PutsDeps) {
    this.#deps = deps
    this.#acknowledging = { ...deps, restoreOwn: (root, putId) => restoreOwnCopy(root, putId, deps) }
    this.#small = new SmallPutNumbers(deps.clock, deps.chance)
  }

  /** Begins to store a file. The caller must close the put. */
  open(options: PutOptions): Put {
    const { self, abandon, chance } = this.#deps
    const putNumber = chance.bytes(PUT_NUMBER_BYTES)
    const putId = putIdOf(self, putNumber)
    const end = this.#underWay.begin(putId)
    const onClose = ({ hasNoRoom, forNothing }: PutEnd): void => {
      end()
      if (hasNoRoom) abandon(putId)
      void this.#giveUp(putNumber, forNothing)
    }
    return new Put(this.#deps, { options, putNumber, putId, onClose })
  }

  /**
   * Lets the claims of a put that has been closed end soon. Do not call it for a small put, because small puts share a
   * number.
   */
  abandon(number: Uint8Array): void {
    this.#deps.abandon(putIdOf(this.#deps.self, number))
  }

  /** Begins to store a file of one small block. It shares its number with other small puts. The caller must close it. */
  openSmall(options: PutOptions): SmallPut {
    const putNumber = this.#small.next()
    const putId = putIdOf(this.#deps.self, putNumber)
    return new SmallPut(this.#deps, { options, putNumber, putId, onClose: this.#underWay.begin(putId) })
  }

  /** Keeps the blocks of some small puts on this disk, in one write: see `SmallPut.keepAll`. */
  keepSmall(blocks: readonly SmallBlock[]): Promise<KeptFile[]> {
    return SmallPut.keepAll(this.#deps, blocks)
  }

  /** True while a put is under way. */
  get hasAny(): boolean {
    return this.#underWay.hasAny
  }

  /** Returns true if a put is under way, or if a small put that begins now may share its number. */
  isUnderWay(putId: PutId): boolean {
    return this.#underWay.has(putId) || this.#small.isGivenOut(putId.subarray(-PUT_NUMBER_BYTES))
  }

  /** Pushes the record of a file until enough members have acknowledged it: see `acknowledge`. */
  push(record: Statement<'entry'>, kept: KeptFile | null, options: PutOptions): Promise<PutOutcome> {
    return acknowledge(this.#acknowledging, options, record, kept)
  }

  /** Tells keepers that they hold blocks for nothing, so that they need not keep them once their disk is full. */
  async #giveUp(number: Uint8Array, keepers: readonly PeerId[]): Promise<void> {
    const { storeClient, logs } = this.#deps
    const tell = (peer: PeerId): Promise<void> =>
      storeClient.giveUp(peer, number).catch(error => {
        // Its claims run out.
        logs.put('put %s: %s was not told that it has ended: %s', nameOfId(number), peer, reasonOf(error))
      })
    await Promise.all(keepers.map(tell))
  }
}
