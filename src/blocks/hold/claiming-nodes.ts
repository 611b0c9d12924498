import { type IndexDb, type IndexOp, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { type BlockCid, blockKey, cidOfMultihash, isNode } from '../../format/cid.ts'
import { FormatError } from '../../format/errors.ts'
import { decodeLinks, type NodeCodec } from '../../format/manifest.ts'
import { NO_BYTES } from '../../util/bytes.ts'
import { Limiter } from '../../util/limiter.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { isOutOfReach } from '../errors.ts'
import { nameOf } from '../log-names.ts'
import type { ReadNode } from '../manifest-walk.ts'
import { Claims } from './claims.ts'
import { releasedBlockKey, releasedBlockOp } from './release-rows.ts'

export interface ClaimingNodesOptions {
  index: Pick<IndexDb, 'has' | 'batch'>
  claims: Pick<Claims, 'isClaimed'>
  logger: ComponentLogger
  codec: NodeCodec
  /** Reads a manifest node from disk or from another member. */
  readNode: ReadNode
}

/** The blocks that a manifest node may claim; 'unreadable' if nobody could deliver the node. */
export type Claimed = readonly BlockCid[] | 'unreadable'

/**
 * The manifest nodes here that claim the blocks to which they link. A row of the index says which nodes these are, so
 * that their claims can be ended with them. A node that cannot be read is not freed, because its claims would then stay
 * for good.
 */
export class ClaimingNodes {
  readonly #options: ClaimingNodesOptions
  readonly #log: Logger
  /**
   * Many callers write rows of released blocks, and the one that removes a row looks at the claims first. They take
   * turns.
   */
  readonly #turns = new Limiter(1)
  #ended = 0

  constructor(options: ClaimingNodesOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:blocks:free')
  }

  /** The number of nodes whose claims were ended since the start. */
  get ended(): number {
    return this.#ended
  }

  /** Returns true if the block is a node that claims the blocks to which it links. */
  isClaiming({ multihash }: BlockCid): Promise<boolean> {
    return this.#options.index.has(nodeKey(multihash.bytes))
  }

  /** Returns the CID of a block here: with the codec of manifest nodes if it is a node that claims others. */
  async cidOf(multihash: Uint8Array): Promise<BlockCid> {
    const raw = cidOfMultihash(multihash)
    return (await this.isClaiming(raw)) ? cidOfMultihash(multihash, this.#options.codec.code) : raw
  }

  /**
   * Returns the blocks that a block may claim, or undefined for one that is no manifest node. After a rebuild of the
   * index, a node may have no claims yet. Then this follows its links, if it can read the node.
   */
  async claimedBy(cid: BlockCid): Promise<Claimed | undefined> {
    const { codec, readNode } = this.#options
    const isClaiming = await this.isClaiming(cid)
    if (!isClaiming && !isNode(cid)) return undefined
    const node = isNode(cid) ? cid : cidOfMultihash(cid.multihash.bytes, codec.code)
    try {
      const links = decodeLinks(await readNode(node, null), codec)
      return [...new Map(links.map(link => [blockKey(link), link])).values()]
    } catch (error) {
      // A node that breaks the format claims nothing.
      if (error instanceof FormatError) return []
      if (!isOutOfReach(error)) throw error
      this.#log('manifest node %s was released, and cannot be read: %s', nameOf(node), reasonOf(error))
      return isClaiming ? 'unreadable' : []
    }
  }

  /**
   * Ends the claims of a node, and has each block that it claimed looked at. The caller holds the node's lock, and
   * nothing claims the node. This is durable when it resolves, since the node itself may go afterwards.
   */
  async endClaims(cid: BlockCid, claimed: readonly BlockCid[]): Promise<void> {
    const node = cid.multihash.bytes
    const ops: IndexOp[] = [{ type: 'del', key: nodeKey(node) }]
    for (const block of claimed) {
      const { key } = Claims.reference(block.multihash.bytes, { by: 'node', multihash: node })
      ops.push({ type: 'del', key }, releasedBlockOp(block))
    }
    await this.#turns.run(() => this.#options.index.batch(ops, { sync: true }))
    this.#ended++
  }

  /** Forgets that a block was released, if something claims it. The caller holds the block's lock. */
  async forgetIfClaimed(cid: BlockCid): Promise<void> {
    const { index, claims } = this.#options
    await this.#turns.run(async () => {
      if (await claims.isClaimed(cid.multihash.bytes)) await index.batch([{ type: 'del', key: releasedBlockKey(cid) }])
    })
  }
}

/** Returns the index change that notes that a node claims the blocks to which it links. */
export function claimingNodeOp(multihash: Uint8Array): IndexOp {
  return { type: 'put', key: nodeKey(multihash), value: NO_BYTES }
}

export function nodeKey(multihash: Uint8Array): Uint8Array {
  return indexKey(TABLES.nodes, multihash)
}
