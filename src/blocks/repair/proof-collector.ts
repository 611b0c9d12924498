import type { BlockCid } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { fromHex } from '../../util/bytes.ts'
import type { Chance } from '../../util/chance.ts'
import type { Clock } from '../../util/clock.ts'
import { raceSignal } from '../../util/deadline.ts'
import { type Logger, reasonOf } from '../../util/logger.ts'
import { RefusedError } from '../../wire/errors.ts'
import { Bitmap } from '../bitmap.ts'
import type { Holds } from '../hold/holds.ts'
import { referrersKey } from '../hold/reference-lookup.ts'
import { nameOf } from '../log-names.ts'
import { NONCE_BYTES, PROOF_BYTES } from '../protocol/proof.ts'
import type { StoreClient } from '../protocol/store-client.ts'
import type { HoldAnswer, HoldRoot } from '../protocol/store-messages.ts'
import { EVICT_HOLD_BLOCKS, VIEW_PAUSE_MS, VIEW_TRIES } from './constants.ts'
import { type CopyPlan, nextToAsk } from './copy-plan.ts'

export interface ProofCollectorOptions {
  clock: Clock
  chance: Chance
  log: Logger
  storeClient: Pick<StoreClient, 'holdRoot'>
  holds: Pick<Holds, 'order'>
  /** Returns the members that may be asked now. */
  admitted: () => readonly PeerId[]
  viewId: () => Uint8Array
}

/**
 * Asks other members for holds on the chunks of one file, with a proof for each chunk. It stores their answers in the
 * plans.
 */
export class ProofCollector {
  readonly #options: ProofCollectorOptions

  constructor(options: ProofCollectorOptions) {
    this.#options = options
  }

  /** Asks in rounds until each plan either has the proofs that it needs or must stay. */
  async collect(root: BlockCid, plans: readonly CopyPlan[], signal: AbortSignal | undefined): Promise<void> {
    const reachable = new Set(this.#options.admitted())
    for (;;) {
      const questions = new Map<PeerId, CopyPlan[]>()
      for (const plan of plans) {
        const peers = nextToAsk(plan)
        if (peers === 'must-stay' || !peers.every(peer => reachable.has(peer))) {
          // The others are not asked either: their promises would bind them for nothing.
          plan.mustStay = true
          continue
        }
        for (const peer of peers) {
          const asked = questions.get(peer)
          if (asked === undefined) questions.set(peer, [plan])
          else asked.push(plan)
        }
      }
      if (questions.size === 0) return
      await Promise.all([...questions].map(([peer, asked]) => this.#askPeer(root, peer, asked, signal)))
    }
  }

  /**
   * Asks one member about the plans for which it is needed. Each request names only plans that the same
   * records need.
   */
  async #askPeer(
    root: BlockCid,
    peer: PeerId,
    plans: readonly CopyPlan[],
    signal: AbortSignal | undefined
  ): Promise<void> {
    for (const group of Map.groupBy(plans, ({ referrers }) => referrersKey(referrers)).values()) {
      for (let start = 0; start < group.length; start += EVICT_HOLD_BLOCKS) {
        if (await this.#ask(root, peer, group.slice(start, start + EVICT_HOLD_BLOCKS), signal)) continue
        // The member is silent, has disconnected or has another view, so it will not prove the rest either.
        for (const plan of plans) plan.mustStay ||= !plan.proofs.has(peer)
        return
      }
    }
  }

  /** Returns false if the member did not answer. */
  async #ask(
    root: BlockCid,
    peer: PeerId,
    plans: readonly CopyPlan[],
    signal: AbortSignal | undefined
  ): Promise<boolean> {
    const nonce = this.#options.chance.bytes(NONCE_BYTES)
    const records = [...(plans[0] as CopyPlan).referrers.records.keys()].map(fromHex)
    const chunks = new Bitmap()
    for (const { chunkIndex } of plans) chunks.add(chunkIndex)
    const askedAt = this.#options.holds.order
    const answer = await this.#hold(peer, { root, chunks, fetch: true, nonce, records }, signal)
    if (answer === undefined) return false
    const { lacking, proofs } = answer
    let proofIndex = 0
    for (const { chunkIndex, proofs: known } of plans) {
      const at = PROOF_BYTES * proofIndex
      if (!lacking.has(chunkIndex)) proofIndex++
      const proof = lacking.has(chunkIndex) ? NO_PROOF : proofs.subarray(at, at + PROOF_BYTES)
      known.set(peer, { nonce, proof, askedAt })
    }
    return true
  }

  /**
   * Asks for a hold, and repeats the request while the two members have different views. Returns undefined if there is
   * no answer.
   */
  async #hold(
    peer: PeerId,
    request: Omit<HoldRoot, 'view'>,
    signal: AbortSignal | undefined
  ): Promise<HoldAnswer | undefined> {
    const { storeClient, viewId, clock, log } = this.#options
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted()
      try {
        return await raceSignal(storeClient.holdRoot(peer, { ...request, view: viewId() }), signal)
      } catch (error) {
        signal?.throwIfAborted()
        log('%s did not prove its chunks of root %s: %s', peer, nameOf(request.root), reasonOf(error))
        const isUnsettled = error instanceof RefusedError && error.status === 'view-differs'
        if (!isUnsettled || attempt === VIEW_TRIES) return undefined
        await clock.sleep(VIEW_PAUSE_MS, signal)
      }
    }
  }
}

const NO_PROOF = new Uint8Array(0)
