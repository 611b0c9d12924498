import type { BlockCid } from '../../format/cid.ts'
import { FANOUT } from '../../format/constants.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { type Logger, reasonOf } from '../../util/logger.ts'
import { Worker } from '../../util/worker.ts'
import { Bitmap } from '../bitmap.ts'
import { PUT_RENEW_MS } from '../constants.ts'
import { nameOfId } from '../log-names.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import { isEmpty } from './bits.ts'
import type { PutState } from './put-state.ts'

export interface RenewalOptions {
  clock: Clock
  log: Logger
  storeClient: Pick<StoreClient, 'keepRoot' | 'keepBlock'>
  /** The number that identifies the put to the keepers. */
  putNumber: Uint8Array
  /** Says which members are counted on for which chunks so far. */
  state: Pick<PutState, 'members'>
}

/**
 * Keeps the claims of a long put from expiring before its root is kept. Each full manifest node serves as a root, under
 * which keepers are asked again to keep the chunks that they are counted on for. The chunks after the last full node
 * have no such node yet, so keepers are asked for them one by one. A keeper pulls again any chunk that it has lost in
 * the meantime.
 */
export class Renewal {
  readonly #options: RenewalOptions
  readonly #nodes: Array<{ cid: BlockCid; firstChunk: number }> = []
  /** Created only when claims have to be renewed, because most puts end before that. */
  #worker: Worker | undefined
  #cancelStart: (() => void) | undefined
  #isEnded = false
  /** The chunks after the last full node. */
  #tail: Array<{ cid: BlockCid; chunkIndex: number }> = []

  constructor(options: RenewalOptions) {
    this.#options = options
  }

  /** Notes a chunk that has been placed. */
  addChunk(cid: BlockCid, chunkIndex: number): void {
    this.#tail.push({ cid, chunkIndex })
    if (!this.#isEnded) this.#cancelStart ??= this.#options.clock.after(PUT_RENEW_MS, () => this.#start())
  }

  /** Notes a placed manifest node. The first node after `FANOUT` chunks links to all chunks of the tail. */
  addNode(cid: BlockCid): void {
    if (this.#tail.length !== FANOUT) return
    this.#nodes.push({ cid, firstChunk: this.#nodes.length * FANOUT })
    this.#tail = []
  }

  /** Stops asking. Does not wait for answers that are under way. */
  end(): void {
    this.#isEnded = true
    this.#cancelStart?.()
    void this.#worker?.stop()
  }

  #start(): void {
    const { clock, log } = this.#options
    const work = (signal: AbortSignal): Promise<void> => this.#renew(signal)
    this.#worker = new Worker({ name: 'claim renewal', clock, log, firstMs: 0, everyMs: PUT_RENEW_MS, work })
    this.#worker.start()
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const { state, putNumber, log } = this.#options
    const tail = this.#tail
    const peers = [...state.members].filter(([, { counted }]) => !isEmpty(counted)).map(([peer]) => peer)
    log('put %s: renews its claims, members: %d', nameOfId(putNumber), peers.length)
    await Promise.all(
      peers.map(peer =>
        this.#renewOn(peer, tail, signal).catch(error => {
          // If the member has lost something, it says so when it confirms the root.
          log('put %s: %s did not renew its claims: %s', nameOfId(putNumber), peer, reasonOf(error))
        })
      )
    )
  }

  async #renewOn(
    peer: PeerId,
    tail: ReadonlyArray<{ cid: BlockCid; chunkIndex: number }>,
    signal: AbortSignal
  ): Promise<void> {
    const { storeClient, putNumber } = this.#options
    for (const { cid, firstChunk } of [...this.#nodes]) {
      if (signal.aborted) return
      const chunks = this.#countedOn(peer).slice(firstChunk, FANOUT)
      if (chunks.size > 0) await storeClient.keepRoot(peer, putNumber, cid, chunks)
    }
    const all = this.#countedOn(peer)
    const counted = tail.filter(({ chunkIndex }) => all.has(chunkIndex))
    await Promise.all(
      counted.map(({ cid }) => storeClient.keepBlock(peer, { put: putNumber, cid, bytes: null, sizeBytes: undefined }))
    )
  }

  #countedOn(peer: PeerId): Bitmap {
    return new Bitmap(this.#options.state.members.get(peer)?.counted)
  }
}
