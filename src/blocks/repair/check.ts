import { type IndexDb, type IndexOp, indexKey } from '../../disk/index-db.ts'
import { TABLES } from '../../disk/tables.ts'
import { type BlockCid, blockKey, cidOfMultihash, isNode } from '../../format/cid.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { equalBytes, fromHex, toHex } from '../../util/bytes.ts'
import type { ComponentLogger, Logger } from '../../util/logger.ts'
import { BlockCorruptError, BlockUnreadableError, isOutOfReach } from '../errors.ts'
import type { BlockPuller } from '../fetch/puller.ts'
import { type ClaimingNodes, nodeKey } from '../hold/claiming-nodes.ts'
import { type Claimant, Claims } from '../hold/claims.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { ReferenceLookup } from '../hold/reference-lookup.ts'
import { releasedBlockKey, releasedBlockOp } from '../hold/release-rows.ts'
import { useBlock } from '../hold/use-block.ts'
import { nameOf } from '../log-names.ts'
import { walkManifest } from '../manifest-walk.ts'
import type { Ranking } from '../rank.ts'
import type { RecordRef } from '../record-ref.ts'
import { evictedKey } from './evicted-blocks.ts'
import { recordReferenceOps } from './record-rows.ts'
import type { Releaser } from './releaser.ts'
import type { Repair } from './repair.ts'

export interface BlockCheckOptions {
  self: PeerId
  logger: ComponentLogger
  codec: NodeCodec
  index: Pick<IndexDb, 'range' | 'has' | 'batch'>
  local: Pick<LocalBlocks, 'all' | 'get' | 'returnBuffer' | 'has' | 'getOrThrow' | 'whileLocked' | 'bad'>
  claims: Claims
  nodes: Pick<ClaimingNodes, 'cidOf'>
  puller: Pick<BlockPuller, 'pull'>
  repair: Pick<Repair, 'walkNow' | 'caughtUp' | 'isWalkingReleased'>
  releaser: Pick<Releaser, 'run'>
  ranking: () => Ranking
  /** Yields every record that has blocks and whose id is greater than `after`. */
  records: (after: Uint8Array) => AsyncIterable<RecordRef>
  /** Returns which of these records the log has. */
  knows: (records: readonly Uint8Array[]) => Promise<boolean[]>
  /** Returns false while it is not certain which blocks are needed. */
  mayFree: () => boolean
  /** True while there may be blocks that nothing claims, because a stop was unclean. */
  mayHaveOrphans: () => boolean
}

export interface CheckOptions {
  /** Also read and hash every block here. */
  readData: boolean
  signal: AbortSignal
}

/** A block that is needed here, is not here, and that no member that was asked has. */
export interface LostBlock {
  cid: BlockCid
  /** At most `RECORDS_MAX` records that need it, and how many more were found. */
  records: Uint8Array[]
  moreRecords: number
}

export interface Checked {
  /** The blocks here that were looked at. */
  checked: number
  /** The blocks here that were found damaged: another length or other bytes, or the disk cannot read them. */
  corrupt: number
  /** Those of them that were found again and that no record needs, such as blocks of a put that was cut off. */
  unneeded: number
  /** The claims and blocks that were put right: written, removed, or got from another member. */
  repaired: number
  /** At most `LOST_MAX` of the lost blocks, and how many there are. */
  lost: LostBlock[]
  lostCount: number
  /** False if claims that look unneeded were kept, because it is not certain which blocks are needed. */
  isCertain: boolean
}

/** The most lost blocks that are named, and that are remembered so that each counts once. */
const LOST_MAX = 1_000
const LOST_SEEN_MAX = 100_000
/** The most records that are named for one lost block. Many files may have the same content. */
const RECORDS_MAX = 100

interface Findings {
  checked: Checked
  /** The lost blocks by their keys; undefined for those that are only counted. */
  lost: Map<string, LostBlock | undefined>
}

/**
 * Recomputes from the log and the manifests why each block stays, and corrects the index where it differs:
 *
 * 1. Each record that needs its content claims its root. The walk of its manifest claims what is here or owed, and
 *    brings what is missing.
 * 2. It ends the claims of records that do not need their content or that the log does not have, of manifest nodes that
 *    nothing claims, and of released nodes that nobody can read.
 * 3. It leaves blocks that nothing claims to the releaser. It looks at the length of each block, or hashes it with
 *    `readData`, and fetches a damaged one again.
 */
export class BlockCheck {
  readonly #options: BlockCheckOptions
  readonly #log: Logger

  constructor(options: BlockCheckOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:blocks:check')
  }

  async run({ readData, signal }: CheckOptions): Promise<Checked> {
    const { local, repair, releaser, mayFree } = this.#options
    const none = { checked: 0, corrupt: 0, unneeded: 0, repaired: 0, lostCount: 0 }
    const done: Checked = { ...none, lost: [], isCertain: true }
    await repair.caughtUp()
    const found: Findings = { checked: done, lost: new Map() }
    // The walks below also find damaged blocks, and get most of them again before the blocks are looked at.
    const { found: before, left } = local.bad
    await this.#checkRecords(found, signal)
    // The releaser first ends the claims that it can end, so that only the others are left for the steps below.
    await releaser.run(signal)
    done.isCertain = mayFree()
    if (done.isCertain) await this.#checkClaims(found, signal)
    await this.#checkBlocks(found, readData, signal)
    done.corrupt = left + local.bad.found - before
    await releaser.run(signal)
    const { checked, corrupt, repaired, lostCount } = done
    this.#log('blocks checked: %d, corrupt: %d, repaired: %d, lost: %d', checked, corrupt, repaired, lostCount)
    return done
  }

  async #checkRecords(found: Findings, signal: AbortSignal): Promise<void> {
    const { records, claims, index, repair } = this.#options
    for await (const record of records(new Uint8Array(0))) {
      signal.throwIfAborted()
      if (!(await claims.hasRecord(record))) {
        if (await claims.isReleased(record)) continue
        await index.batch(recordReferenceOps(record))
        found.checked.repaired++
      }
      const { mended, isMissing } = await repair.walkNow(record, signal)
      found.checked.repaired += mended
      if (isMissing) await this.#nameMissing(record, found)
    }
  }

  /** Names the blocks of a record that this member owes and lacks, after a walk that could not bring them. */
  async #nameMissing({ id, root, replicas }: RecordRef, found: Findings): Promise<void> {
    const { local, codec, ranking, self, index } = this.#options
    const order = ranking()
    let node = root
    const readNode = (cid: BlockCid): Promise<Uint8Array> => {
      node = cid
      return local.getOrThrow(cid)
    }
    const onSkip = (error: unknown): void => {
      if (isOutOfReach(error)) this.#noteLost(found, node, id)
    }
    for await (const { cid, chunkIndex } of walkManifest(root, readNode, codec, { isOnce: true, onSkip })) {
      if (chunkIndex === null || !order.isOwner(self, cid.multihash.digest, replicas)) continue
      if (!(await local.has(cid)) && !(await index.has(evictedKey(cid)))) this.#noteLost(found, cid, id)
    }
  }

  /** Ends the claims of what does not need the block. */
  async #checkClaims(found: Findings, signal: AbortSignal): Promise<void> {
    const { index, repair, claims } = this.#options
    const table = indexKey(TABLES.claims)
    const unclaimedNodes = new Set<string>()
    for await (const { key, value } of index.range(table)) {
      signal.throwIfAborted()
      const { multihash, claimant } = Claims.decode(key.subarray(table.byteLength), value)
      if (claimant.by === 'put' || (await this.#isNeeded(claimant))) continue
      if (await repair.isWalkingReleased()) continue
      const cid = cidOfMultihash(multihash)
      const ops: IndexOp[] = [{ type: 'del', key }, releasedBlockOp(cid)]
      if (claimant.by === 'record') await index.batch(ops)
      else if (!(await this.#endClaim(claimant.multihash, ops))) continue
      else unclaimedNodes.add(toHex(claimant.multihash))
      found.checked.repaired++
    }
    for (const node of unclaimedNodes) {
      const multihash = fromHex(node)
      // From now on the releaser treats it as a block that claims nothing.
      const ops: IndexOp[] = [{ type: 'del', key: nodeKey(multihash) }, releasedBlockOp(cidOfMultihash(multihash))]
      if (!(await claims.isClaimed(multihash))) await index.batch(ops)
    }
  }

  /** Ends a claim of a node unless something claims the node by now. */
  #endClaim(node: Uint8Array, ops: readonly IndexOp[]): Promise<boolean> {
    const { local, claims, index } = this.#options
    return local.whileLocked(cidOfMultihash(node), async () => {
      if (await claims.isClaimed(node)) return false
      await index.batch(ops)
      return true
    })
  }

  async #isNeeded(claimant: Exclude<Claimant, { by: 'put' }>): Promise<boolean> {
    const { claims, knows } = this.#options
    if (claimant.by === 'node') return claims.isClaimed(claimant.multihash)
    return !(await claims.isReleased(claimant)) && (await knows([claimant.id]))[0] === true
  }

  async #checkBlocks(found: Findings, readData: boolean, signal: AbortSignal): Promise<void> {
    const { local, claims, nodes, index, mayHaveOrphans } = this.#options
    for await (const multihash of local.all()) {
      signal.throwIfAborted()
      found.checked.checked++
      const cid = await nodes.cidOf(multihash)
      if (readData || !(await local.has(cid))) await this.#read(cid, found, signal)
      // After an unclean stop they wait for a day, in case the index has lost the claim of a put.
      if (mayHaveOrphans() || (await claims.isClaimed(multihash)) || (await index.has(releasedBlockKey(cid)))) continue
      await index.batch([releasedBlockOp(cid)])
      found.checked.repaired++
    }
  }

  async #read(cid: BlockCid, found: Findings, signal: AbortSignal): Promise<void> {
    const { local, claims, puller, self } = this.#options
    try {
      await useBlock(local, cid, () => {}, signal)
    } catch (error) {
      if (!(error instanceof BlockCorruptError || error instanceof BlockUnreadableError)) throw error
      const { records } = await new ReferenceLookup(claims).of(cid.multihash.bytes)
      const [needing] = [...records].sort(([, a], [, b]) => b.replicas - a.replicas)
      // It is not missed, and is freed in time.
      if (needing === undefined) {
        found.checked.unneeded++
        return
      }
      try {
        const replicas = isNode(cid) ? Number.POSITIVE_INFINITY : needing[1].replicas
        await puller.pull(cid, { signal, author: self, replicas, once: true })
        found.checked.repaired++
      } catch (cause) {
        if (!isOutOfReach(cause)) throw cause
        this.#log('block %s is damaged, and no member that can be reached has it', nameOf(cid))
        for (const id of records.keys()) this.#noteLost(found, cid, fromHex(id))
      }
    }
  }

  /** Counts a lost block once, and notes each record that needs it. A damaged block may also have been missed by a walk. */
  #noteLost({ checked, lost }: Findings, cid: BlockCid, record: Uint8Array): void {
    const key = blockKey(cid)
    if (!lost.has(key)) {
      const block: LostBlock = { cid, records: [], moreRecords: 0 }
      const isNamed = checked.lost.length < LOST_MAX
      if (lost.size < LOST_SEEN_MAX) lost.set(key, isNamed ? block : undefined)
      checked.lostCount++
      if (isNamed) checked.lost.push(block)
    }
    const block = lost.get(key)
    if (block === undefined || block.records.some(known => equalBytes(known, record))) return
    if (block.records.length < RECORDS_MAX) block.records.push(record)
    else block.moreRecords++
  }
}
