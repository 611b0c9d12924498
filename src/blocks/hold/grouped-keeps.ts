import { NoSpaceError } from '../../disk/errors.ts'
import type { BlockCid } from '../../format/cid.ts'
import { toHex } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { KEEP_GROUP_BYTES, KEEP_GROUP_MS } from '../constants.ts'
import type { StoredBlock } from './block-port.ts'
import type { Claims, PutClaim } from './claims.ts'
import type { LocalBlocks } from './local-blocks.ts'

interface Waiting extends StoredBlock {
  claim: PutClaim
  resolve: () => void
  reject: (error: unknown) => void
}

/**
 * Stores blocks of puts in groups: one write, one sync and one change of the index for several blocks and their claims.
 * Each of these is a hop to another thread and back, which costs more than all else that is done for a block of 1 MiB
 * but its cipher, its hash and its bytes.
 *
 * A block waits for others only while some are known to be on their way (`expect`), only until they are enough for a
 * group, and never longer than `KEEP_GROUP_MS`.
 */
export class GroupedKeeps {
  readonly #local: Pick<LocalBlocks, 'keepAll'>
  readonly #claims: Pick<Claims, 'claimForPut'>
  readonly #clock: Clock
  #waiting: Waiting[] = []
  #bytes = 0
  /** How many blocks, or sources of blocks, are on their way. */
  #expected = 0
  #isLooking = false
  #cancelTimer: (() => void) | undefined

  constructor(local: Pick<LocalBlocks, 'keepAll'>, claims: Pick<Claims, 'claimForPut'>, clock: Clock) {
    this.#local = local
    this.#claims = claims
    this.#clock = clock
  }

  /**
   * Says that a block is on its way, so that others may wait for it. The caller must call the returned function when the
   * block has arrived or will not; it may be called more than once.
   */
  expect(): () => void {
    this.#expected++
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      this.#expected--
      this.#lookSoon()
    }
  }

  /**
   * Stores a block whose bytes the caller has verified, together with its claim. Both are durable when this resolves.
   * Throws the errors of the disk, such as a `NoSpaceError` if there is no room for this block.
   */
  keep(cid: BlockCid, bytes: Uint8Array, claim: PutClaim): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ cid, bytes, claim, resolve, reject })
      this.#bytes += bytes.byteLength
      this.#lookSoon()
    })
  }

  // What arrives in one turn of the event loop is looked at together.
  #lookSoon(): void {
    if (this.#isLooking || this.#waiting.length === 0) return
    this.#isLooking = true
    setImmediate(() => {
      this.#isLooking = false
      this.#look()
    })
  }

  #look(): void {
    if (this.#waiting.length === 0) return
    if (this.#expected === 0 || this.#bytes >= KEEP_GROUP_BYTES) this.#begin()
    else this.#cancelTimer ??= this.#clock.after(KEEP_GROUP_MS, () => this.#begin())
  }

  #begin(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    const group = this.#waiting
    this.#waiting = []
    this.#bytes = 0
    void this.#store(group)
  }

  async #store(group: readonly Waiting[]): Promise<void> {
    try {
      await this.#local.keepAll(group, () => this.#claim(group))
      for (const { resolve } of group) resolve()
    } catch (error) {
      // There may be room for some of them.
      if (error instanceof NoSpaceError && group.length > 1) for (const block of group) await this.#store([block])
      else for (const { reject } of group) reject(error)
    }
  }

  async #claim(group: readonly Waiting[]): Promise<void> {
    const byClaim = Map.groupBy(group, ({ claim }) => `${toHex(claim.put)} ${claim.claimMs}`)
    await Promise.all(
      [...byClaim.values()].map(blocks => {
        const [{ claim }] = blocks as [Waiting]
        const multihashes = blocks.map(({ cid }) => cid.multihash.bytes)
        return this.#claims.claimForPut(claim.put, multihashes, claim.claimMs)
      })
    )
  }
}
