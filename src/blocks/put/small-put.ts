import type { BlockCid } from '../../format/cid.ts'
import type { Budget, Lease } from '../../util/budget.ts'
import { toHex } from '../../util/bytes.ts'
import type { PutId } from '../hold/claims.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { type MakeRoom, withRoom } from '../hold/with-room.ts'
import { nameOf, nameOfId } from '../log-names.ts'
import { InlineBlock } from './inline-block.ts'
import type { KeptFile } from './kept-file.ts'
import type { PutOptions } from './put.ts'
import { PutDriver } from './put-driver.ts'
import type { PutDriverDeps } from './put-ports.ts'

export interface SmallPutDeps extends PutDriverDeps {
  self: string
  local: Pick<LocalBlocks, 'keepFresh' | 'fresh' | 'returnBuffer'>
  /** The memory of all puts. */
  memory: Budget
  makeRoom: MakeRoom
}

/** The only block of a small file, and the put of that file. */
export interface SmallBlock {
  put: SmallPut
  root: BlockCid
  bytes: Uint8Array
}

export interface SmallPutInit {
  options: PutOptions
  putNumber: Uint8Array
  putId: PutId
  onClose: () => void
}

/**
 * Stores a file of one small block. The block is kept on this disk first, without a claim; then the caller links the
 * record, which claims it; then block and record go to each member in one request (`PutDriver.add`). So there is no
 * claim that ends a moment later, on any disk, and one round trip in place of two. If a member cannot take both at once,
 * the put goes on with that member like any other put.
 *
 * Until the put is closed, its block is not freed. The caller must close it, even if it fails.
 */
export class SmallPut {
  readonly #deps: SmallPutDeps
  readonly #init: SmallPutInit
  #lease: Lease | undefined
  #endProtection: (() => void) | undefined
  #block: InlineBlock | undefined
  #driver: PutDriver | undefined

  constructor(deps: SmallPutDeps, init: SmallPutInit) {
    this.#deps = deps
    this.#init = init
  }

  /**
   * Keeps the blocks of some puts on this disk, in one write. Throws the errors of the disk, and then some blocks may be
   * here. It can be called again after an error.
   */
  static async keepAll({ local, makeRoom }: SmallPutDeps, blocks: readonly SmallBlock[]): Promise<KeptFile[]> {
    for (const { put, root } of blocks) put.#endProtection ??= local.fresh.protect([root])
    await withRoom(makeRoom, () => local.keepFresh(blocks.map(({ root: cid, bytes }) => ({ cid, bytes }))))
    return blocks.map(({ put, root, bytes }) => put.#noteKept(root, bytes))
  }

  /** Waits until this put may have this many bytes in memory. They are given back when it is closed. */
  async lease(bytes: number): Promise<void> {
    const { putId, options } = this.#init
    this.#lease = await this.#deps.memory.acquire(bytes, { owner: toHex(putId), ...signalOf(options) })
  }

  close(): void {
    this.#driver?.end()
    this.#block?.end()
    this.#endProtection?.()
    this.#endProtection = undefined
    this.#lease?.release()
    this.#init.onClose()
  }

  #noteKept(root: BlockCid, bytes: Uint8Array): KeptFile {
    const { logs, self, storeClient, local } = this.#deps
    const { putNumber, putId, options } = this.#init
    if (logs.put.enabled) logs.put('put %s: root %s is kept here', nameOfId(putNumber), nameOf(root))
    const { replicas, ack } = options
    this.#block = new InlineBlock(storeClient, () => local.returnBuffer(bytes))
    const deps = { ...this.#deps, storeClient: this.#block }
    this.#driver = new PutDriver(deps, { self, replicas, ack, hasBlocks: true }, putNumber)
    return { root, putNumber, putId, driver: this.#driver, unsent: bytes }
  }
}

function signalOf({ signal }: PutOptions): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}
