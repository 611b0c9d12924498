import { NoSpaceError } from '../../disk/errors.ts'
import type { BlockCid } from '../../format/cid.ts'
import { blockKey, isNode } from '../../format/cid.ts'
import type { FileRoot, NodeCodec, SealedBlock } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Budget, Lease } from '../../util/budget.ts'
import { toHex } from '../../util/bytes.ts'
import { raceSignal } from '../../util/deadline.ts'
import { forEachUntilFailure, untilEnd } from '../../util/for-each.ts'
import { isFulfilled } from '../../util/is-fulfilled.ts'
import { Bitmap } from '../bitmap.ts'
import { PULLED_BYTES_MIN, PUT_CLAIM_MS, PUT_WINDOW_BLOCKS, REPEATS_MAX, STRAGGLERS_MS } from '../constants.ts'
import { boundOf } from '../fetch/source-asker.ts'
import type { PutClaim, PutId } from '../hold/claims.ts'
import type { GroupedKeeps } from '../hold/grouped-keeps.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { type MakeRoom, withRoom } from '../hold/with-room.ts'
import { listOf, nameOf, nameOfId } from '../log-names.ts'
import { walkManifest } from '../manifest-walk.ts'
import type { KeptFile } from './kept-file.ts'
import { type LogValue, whenSlow } from './logs.ts'
import { PutDriver } from './put-driver.ts'
import type { PutDriverDeps } from './put-ports.ts'
import { Renewal } from './renewal.ts'
import type { PutWindow } from './window.ts'
import { copiesToWaitFor, isWaitedFor } from './yes.ts'

export interface PutOptions {
  /** The number of copies wanted; `Infinity` for every member. */
  replicas: number
  /**
   * The number of copies, including this member's own, that must be durable before the put succeeds. By default, two if
   * possible.
   */
  ack?: number | undefined
  signal?: AbortSignal | undefined
}

export interface PutDeps extends PutDriverDeps {
  self: PeerId
  codec: NodeCodec
  local: LocalBlocks
  /** Stores the blocks here. */
  keeps: Pick<GroupedKeeps, 'expect' | 'keep'>
  window: PutWindow
  /** The memory of all puts. */
  memory: Budget
  makeRoom: MakeRoom
  /** Lets this put's own claims on a file end once the references of a record have replaced them. */
  endWithRecord: (root: BlockCid, putId: PutId) => void
}

/** How a put ended. */
export interface PutEnd {
  /** True if this disk had no room for a block of the put. */
  hasNoRoom: boolean
  /** The members that may hold blocks for nothing, because no record of the put can follow. */
  forNothing: PeerId[]
}

export interface PutInit {
  options: PutOptions
  /** The number that identifies the put to the keepers. */
  putNumber: Uint8Array
  /** The id under which the put claims blocks on this disk. */
  putId: PutId
  onClose: (end: PutEnd) => void
}

/**
 * Keeps each block of one file on this disk, and on the members that will owe the block. Every block is claimed under
 * the put's id on each of those disks, and long puts renew their claims. Nothing is visible until a record links the
 * root; if the file is never linked, the claims expire. The put's state machine (`PutMachine`) decides which members
 * are asked, and when there are enough copies. The caller must close the put, even if it fails.
 */
export class Put {
  readonly #deps: PutDeps
  readonly #init: PutInit
  readonly #driver: PutDriver
  readonly #renewal: Renewal
  /** The most recent blocks. If the same block comes again while it is in this map, it is not stored again. */
  readonly #recent = new Map<string, { chunkIndex: number | null; placed: Promise<void> }>()
  /** The name under which it has its leases. */
  #owner: string | undefined
  #isClosed = false
  /** True once this disk had no room for a block. */
  #hasNoRoom = false
  /** True once a record may refer to the blocks. */
  #mayBeLinked = false

  constructor(deps: PutDeps, init: PutInit) {
    this.#deps = deps
    this.#init = init
    const { self, clock, logs, storeClient } = deps
    const { putNumber, options } = init
    const { ack, replicas } = options
    this.#driver = new PutDriver(deps, { self, replicas, ack, hasBlocks: true }, putNumber)
    const { machine } = this.#driver
    this.#renewal = new Renewal({ clock, log: logs.put, storeClient, putNumber, state: machine.state })
    if (!logs.put.enabled) return
    const copies = Number.isFinite(replicas) ? String(replicas) : 'all'
    this.#log('opened: %s copies wanted, waits for %d', copies, copiesToWaitFor(machine.state, machine.ranking))
  }

  /** Waits until this put may have this many more bytes in memory. */
  readonly lease = (bytes: number, signal = this.#init.options.signal): Promise<Lease> => {
    this.#owner ??= toHex(this.#init.putId)
    return this.#deps.memory.acquire(bytes, { owner: this.#owner, signal })
  }

  /** The number under which its blocks are claimed, here and on their keepers. */
  get number(): Uint8Array {
    return this.#init.putNumber
  }

  /**
   * Keeps sealed blocks as they arrive. It takes more blocks only once earlier ones are on this disk and on as many
   * members as `ack` asks for, so that at most a window of blocks is in memory. Returns the root, or null for a stream
   * without blocks. Throws the error of the source, the error of the disk if a block cannot be stored here (such as a
   * `NoSpaceError`), or the signal's reason. A member that fails does not cause an error.
   */
  readonly keep = async (blocks: AsyncIterable<SealedBlock>): Promise<FileRoot | null> => {
    let root: FileRoot | null = null
    await this.#forEach(blocks, (block, signal) => {
      if (block.root !== undefined) root = block.root
      return this.#place(block, { isOurs: true, signal })
    })
    return root
  }

  /**
   * Keeps a file that is already stored, in order to copy it. It claims the blocks that are here, fetches the others
   * with `read`, and asks the owners to keep all of them; the owners do not pull blocks that they have. Throws what
   * `read` and `keep` throw, and a `FormatError` if the manifest breaks the format.
   */
  async keepStored(root: BlockCid, read: (cid: BlockCid) => Promise<Uint8Array>): Promise<void> {
    const { local, codec } = this.#deps
    await this.#forEach(walkManifest(root, read, codec), async ({ cid, chunkIndex }, signal) => {
      // The only chunk of a file may be below `PULLED_BYTES_MIN`. Then it travels with the request, so it must be read.
      const isHeld = isNode(root) && (await local.claimIfHere(cid, this.#claim))
      if (!isHeld) return this.#readAndPlace({ cid, chunkIndex }, read, signal)
      const { enough } = this.#driver.place({ cid, chunkIndex, sizeBytes: undefined, inline: null })
      return raceSignal(enough, signal)
    })
  }

  /**
   * Asks members to confirm the chunks that they are counted on for, and resolves once enough of them have, or nobody is
   * left to ask. Call it only once. From then on the put renews no claims, because the claims that members hold by then
   * last much longer than the push of the record takes.
   */
  async keepRoot(root: BlockCid): Promise<KeptFile> {
    const { clock, endWithRecord, logs } = this.#deps
    const { putNumber, putId, options } = this.#init
    const { signal } = options
    const { state } = this.#driver.machine
    await this.#driver.untilQuiet(STRAGGLERS_MS, signal)
    this.#renewal.end()
    this.#logKept(root)
    this.#mayBeLinked = true
    // Once a record refers to these blocks, the record keeps them, and the put's claims may end.
    endWithRecord(root, putId)
    const end = whenSlow(clock, logs.put, () => {
      const waiting = [...state.members].filter(([, member]) => isWaitedFor(state, member)).map(([peer]) => peer)
      this.#log('still waits for %s to confirm the root', listOf(waiting))
    })
    try {
      // A file of one chunk is its own root, so a member that kept the chunk has already confirmed it.
      await this.#driver.confirm(root, isNode(root), signal)
      if (isNode(root)) await this.#driver.untilQuiet(STRAGGLERS_MS, signal)
    } finally {
      end()
    }
    return { root, putNumber, putId, driver: this.#driver }
  }

  /**
   * Ends the put. Claims on blocks that no record refers to are left to expire by themselves. Until then, a put that
   * was cut off can be repeated and finds its blocks here. If this disk had no room for the put, its claims here end
   * soon, since its blocks would keep the disk full for an hour.
   */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#renewal.end()
    this.#driver.end()
    const forNothing = this.#mayBeLinked ? [] : [...this.#driver.asked]
    this.#init.onClose({ hasNoRoom: this.#hasNoRoom, forNothing })
  }

  #logKept(root: BlockCid): void {
    if (!this.#deps.logs.put.enabled) return
    const { members, chunkCount } = this.#driver.machine.state
    const counts = [...members].map(([peer, { counted }]) => [peer, new Bitmap(counted).size] as const)
    const keepers = counts.filter(([, count]) => count > 0).map(([peer, count]) => `${peer}: ${count}`)
    this.#log('root %s, chunks: %d; kept by %s', nameOf(root), chunkCount, listOf(keepers))
  }

  async #forEach<Block>(
    blocks: AsyncIterable<Block>,
    place: (block: Block, signal: AbortSignal) => Promise<void>
  ): Promise<void> {
    const ended = this.#deps.keeps.expect()
    try {
      await forEachUntilFailure(
        untilEnd(blocks, ended),
        { atOnce: PUT_WINDOW_BLOCKS, signal: this.#init.options.signal },
        place
      )
    } catch (error) {
      if (!(error instanceof NoSpaceError)) throw error
      this.#hasNoRoom = true
      throw new NoSpaceError(`${error.message}; what was stored of this file is freed again`, { cause: error })
    } finally {
      ended()
    }
  }

  async #readAndPlace(
    { cid, chunkIndex }: Pick<SealedBlock, 'cid' | 'chunkIndex'>,
    read: (cid: BlockCid) => Promise<Uint8Array>,
    signal: AbortSignal
  ): Promise<void> {
    const lease = await this.lease(boundOf(cid), signal)
    try {
      const bytes = await read(cid)
      lease.shrink(bytes.byteLength)
      // Other callers may be reading the same buffer.
      await this.#place({ cid, bytes, chunkIndex, lease }, { isOurs: false, signal })
    } finally {
      lease.release()
    }
  }

  /**
   * Keeps a block on this disk and on its owners. A block that was placed a moment ago is not placed again; only the
   * new chunk index is noted.
   */
  async #place(block: SealedBlock, { isOurs, signal }: PlaceOptions): Promise<void> {
    const { cid, bytes, chunkIndex } = block
    const { local, keeps, window, makeRoom } = this.#deps
    const passed = block.lease?.take()
    if (chunkIndex === null) this.#renewal.addNode(cid)
    else this.#renewal.addChunk(cid, chunkIndex)
    const known = this.#recent.get(blockKey(cid))
    if (known !== undefined) {
      passed?.release()
      if (chunkIndex !== null && known.chunkIndex !== null)
        this.#driver.repeat({ cid, chunkIndex, sameAs: known.chunkIndex })
      return known.placed
    }
    // A manifest node comes without a lease.
    const lease = passed ?? (await this.lease(bytes.byteLength, signal))
    const release = window.add(cid, bytes)
    const sizeBytes = bytes.byteLength
    const inline = sizeBytes < PULLED_BYTES_MIN ? bytes : null
    const placing = this.#driver.place({ cid, chunkIndex, sizeBytes, inline })
    const kept = withRoom(makeRoom, () => keeps.keep(cid, bytes, this.#claim))
    const place = async (): Promise<void> => {
      try {
        await Promise.all([kept, raceSignal(placing.enough, signal)])
      } finally {
        // The block leaves the window only once it is written, because until then members can pull it only from there.
        // A put that fails waits for the write too, so that none of its work goes on after its end.
        const isKept = await isFulfilled(kept)
        // Requests may still hold the bytes of a block that travels with them.
        const isUnused = release(new Set(placing.keptBy())) && inline === null
        if (isUnused && isKept && isOurs) local.returnBuffer(bytes)
        lease.release()
      }
    }
    const placed = place()
    this.#remember(cid, { chunkIndex, placed })
    return placed
  }

  #remember(cid: BlockCid, recent: { chunkIndex: number | null; placed: Promise<void> }): void {
    const [oldest] = this.#recent.keys()
    if (oldest !== undefined && this.#recent.size >= REPEATS_MAX) this.#recent.delete(oldest)
    this.#recent.set(blockKey(cid), recent)
  }

  get #claim(): PutClaim {
    return { put: this.#init.putId, claimMs: PUT_CLAIM_MS }
  }

  #log(text: string, ...args: LogValue[]): void {
    const log = this.#deps.logs.put
    if (log.enabled) log(`put %s: ${text}`, nameOfId(this.#init.putNumber), ...args)
  }
}

interface PlaceOptions {
  /** True if nobody else holds the buffer of the block. */
  isOurs: boolean
  /** Fires when the put has failed or its caller has gone. */
  signal: AbortSignal
}
