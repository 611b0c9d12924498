import { NoSpaceError } from '../../disk/errors.ts'
import type { IndexDb, IndexOp } from '../../disk/index-db.ts'
import type { BlockCid } from '../../format/cid.ts'
import { FormatError } from '../../format/errors.ts'
import type { NodeCodec } from '../../format/manifest.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Clock } from '../../util/clock.ts'
import { isAbort } from '../../util/errors.ts'
import { Limiter } from '../../util/limiter.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../../util/logger.ts'
import { WALK_PULLS } from '../constants.ts'
import { BlockUnreachableError, isOutOfReach } from '../errors.ts'
import type { Fetcher } from '../fetch/fetcher.ts'
import type { BlockPuller } from '../fetch/puller.ts'
import { type ClaimingNodes, claimingNodeOp } from '../hold/claiming-nodes.ts'
import type { Claims, PutId } from '../hold/claims.ts'
import type { LocalBlocks } from '../hold/local-blocks.ts'
import { listOf, nameOf, nameOfId } from '../log-names.ts'
import { isAny, isChunk, type ManifestBlock, type ManifestChunk, walkBatches } from '../manifest-walk.ts'
import { owesChunk, type Ranking } from '../rank.ts'
import type { RecordRef } from '../record-ref.ts'
import { EVICTED_MS, LACKING_NODES_MAX, WALK_NOTE_BATCHES, WALK_TURN_MS } from './constants.ts'
import { hasCome } from './due.ts'
import type { EvictedBlocks } from './evicted-blocks.ts'
import { referenceOf } from './record-rows.ts'
import type { Walked } from './unfinished-records.ts'
import { isMissing, newOutcome, type WalkOutcome } from './walk-outcome.ts'

export interface RecordWalkerOptions {
  self: PeerId
  clock: Clock
  logger: ComponentLogger
  codec: NodeCodec
  index: IndexDb
  local: LocalBlocks
  claims: Claims
  fetcher: Fetcher
  puller: BlockPuller
  evicted: EvictedBlocks
  nodes: Pick<ClaimingNodes, 'isClaiming'>
  ranking: () => Ranking
  /** Writes index changes, in the order in which they are handed over. */
  write: (ops: readonly IndexOp[]) => Promise<void>
  /** Returns the puts whose claims on a file end once its references are written. */
  takeLinkedPuts: (root: BlockCid) => PutId[]
  /** Returns the same puts, without taking them. */
  linkedPuts: (root: BlockCid) => PutId[]
  onError: (error: unknown) => void
}

export interface WalkRecordOptions {
  /** The chunk at which the walk begins. */
  from: number
  signal: AbortSignal
  /** Called with chunks that are here. */
  onHere?: ((chunks: readonly BlockCid[]) => Promise<void>) | undefined
  /** Called now and then with what has been found so far. */
  onProgress?: ((outcome: WalkOutcome) => Promise<void>) | undefined
}

/**
 * Walks the manifest of a record: claims the blocks that are here, and pulls those that this member owes and lacks. It
 * writes only references that are not there yet. Each manifest node is read once, however many links lead to it, and a
 * node that cannot be obtained does not end the walk. Every member owes all manifest nodes.
 */
export class RecordWalker {
  readonly #options: RecordWalkerOptions
  readonly #log: Logger
  readonly #slots = new Limiter(WALK_PULLS)
  #pulling = 0

  constructor(options: RecordWalkerOptions) {
    this.#options = options
    this.#log = options.logger.forComponent('dfs:blocks:repair')
  }

  /** The number of blocks that are being pulled. */
  get pulling(): number {
    return this.#pulling
  }

  /**
   * Walks a record. If nothing is missing, `endOps` ends the claims of the puts that brought it here. If the record was
   * released, nothing is missing.
   */
  async walk(record: RecordRef, { from, signal, onHere, onProgress }: WalkRecordOptions): Promise<Walked> {
    const { claims, index, clock } = this.#options
    const outcome = newOutcome()
    const turn = { outcome, endsAtMs: clock.monotonic() + WALK_TURN_MS, signal }
    const pulled = new Map<PeerId, number>()
    const pulls = new Set<Promise<void>>()
    this.#log.trace('walking record %s', nameOfId(record.id))
    if (!(await claims.hasRecord(record))) {
      if (await claims.isReleased(record)) return { outcome, endOps: [] }
      throw index.reportCorrupt('the index lacks the claim of a record')
    }
    let batches = 0
    try {
      for await (const batch of this.#batches(record, from, turn)) {
        for (const chunk of await this.#claimHeld(record, batch, { outcome, onHere })) {
          if (this.#isOver(turn)) {
            noteMissingChunk(outcome, chunk)
            continue
          }
          const free = await this.#slots.acquire(1, signal)
          const pull = this.#pull(record, chunk, outcome, { pulled, signal }).finally(() => {
            free()
            pulls.delete(pull)
          })
          // The pull rejects only when the node stops, and then the walk fails too.
          pull.catch(() => {})
          pulls.add(pull)
        }
        if (onProgress === undefined || ++batches % WALK_NOTE_BATCHES !== 0) continue
        await Promise.all(pulls)
        const next = (batch.at(-1) as ManifestChunk).chunkIndex + 1
        await onProgress({ ...outcome, position: Math.min(outcome.position, next) })
      }
    } finally {
      // A walk that fails waits for its pulls too, so that no pull goes on after the node has stopped.
      await Promise.allSettled(pulls)
    }
    signal.throwIfAborted()
    const endOps = isMissing(outcome) ? [] : await this.#endPuts(record)
    this.#logWalk(record, outcome, pulled)
    return { outcome, endOps }
  }

  /** Logs a walk that pulled blocks or found some missing. `pulled` counts chunks by the member that they came from. */
  #logWalk({ id }: RecordRef, { missingChunks, missingNodes }: WalkOutcome, pulled: ReadonlyMap<PeerId, number>): void {
    if (!this.#log.enabled) return
    const record = nameOfId(id)
    const sources = [...pulled].map(([peer, count]) => `${peer}: ${count}`)
    if (sources.length > 0) this.#log('record %s: pulled chunks from %s', record, listOf(sources))
    if (missingChunks + missingNodes === 0) this.#log.trace('record %s: nothing is missing', record)
    else this.#log('record %s: missing chunks: %d, missing manifest nodes: %d', record, missingChunks, missingNodes)
  }

  /** Yields the chunks of a record. The outcome says which manifest nodes could not be obtained. */
  #batches(record: RecordRef, from: number, turn: Turn): AsyncGenerator<ManifestChunk[]> {
    const { outcome } = turn
    return walkBatches({
      root: record.root,
      readNode: (cid, parent) => this.#node({ cid, parent }, record, turn),
      codec: this.#options.codec,
      select: isChunk,
      from,
      isOnce: true,
      onSkip: (error, firstChunk) => {
        this.#log('record %s: cannot walk its whole manifest: %s', nameOfId(record.id), reasonOf(error))
        // Nothing below a node that breaks the format can be reached.
        if (error instanceof FormatError) return
        if (!(isOutOfReach(error) || error instanceof NoSpaceError)) throw error
        // After the end of the turn nodes are not asked for, so they do not count as missing.
        if (!outcome.isCut) outcome.missingNodes++
        outcome.position = Math.min(outcome.position, firstChunk)
      }
    })
  }

  /** Returns a manifest node, from disk or another member. Every member keeps these, so it is claimed and stored. */
  async #node(
    { cid, parent }: Omit<ManifestBlock, 'chunkIndex'>,
    { author }: RecordRef,
    turn: Turn
  ): Promise<Uint8Array> {
    const { local, fetcher, self, claims, nodes, write } = this.#options
    // To find out that nobody has a node, every member must be asked. So we stop asking after several such nodes.
    if (turn.outcome.missingNodes >= LACKING_NODES_MAX || this.#isOver(turn)) throw new BlockUnreachableError(cid)
    // From here on the node stays. If it is being freed, its claims on the blocks below it end before we look at them.
    await local.whileLocked(cid, async () => {
      const [isClaimed] = await claims.hasReferences([{ cid, parent }])
      if (parent === null || isClaimed === true) return
      await write([referenceOf(cid, parent)])
      turn.outcome.claimed++
    })
    const { bytes, from } = await fetcher.fetch(cid, { signal: turn.signal, author, once: true })
    if (from !== self) await local.keepNode(cid, bytes)
    if (!(await nodes.isClaiming(cid))) await write([claimingNodeOp(cid.multihash.bytes)])
    return bytes
  }

  /** Claims the chunks that are here or owed. Returns those that are owed, are not here, and should be pulled now. */
  async #claimHeld(
    record: RecordRef,
    batch: readonly ManifestChunk[],
    { outcome, onHere }: Pick<WalkRecordOptions, 'onHere'> & { outcome: WalkOutcome }
  ): Promise<ManifestChunk[]> {
    const { self, ranking, clock, evicted, claims, local, write } = this.#options
    const owes = owesChunk(ranking(), self, record.replicas)
    // Most blocks have been claimed before, and a look at the rows is far cheaper than writing them again.
    const isClaimed = await claims.hasReferences(batch)
    const isInPut = await this.#areInPut(record.root, batch)
    const isHere = await Promise.all(
      batch.map((chunk, i) =>
        isClaimed[i] === true ? local.has(chunk.cid) : this.#claimIfHere(chunk, { isKept: isInPut[i] === true })
      )
    )
    outcome.claimed += isHere.filter((here, i) => here && isClaimed[i] === false).length
    const isOwed = batch.map(owes)
    await onHere?.(batch.filter((_, i) => isHere[i]).map(({ cid }) => cid))
    outcome.hasSurplus ||= isHere.some((here, i) => here && isOwed[i] === false)
    const isMissing = batch.map((_, i) => isHere[i] === false && isOwed[i] === true)
    const owed = batch.filter((_, i) => isMissing[i])
    if (owed.length === 0) return []
    const unclaimed = batch.filter((_, i) => isMissing[i] && isClaimed[i] === false)
    outcome.claimed += unclaimed.length
    await write(unclaimed.flatMap(({ cid, parent }) => (parent === null ? [] : [referenceOf(cid, parent)])))
    const owedAgainAtMs = await evicted.owedAgainAtMs(owed.map(({ cid }) => cid))
    const nowAtMs = clock.now()
    const isOwedNow = owedAgainAtMs.map(atMs => hasCome(atMs, nowAtMs, EVICTED_MS))
    for (const [i, atMs] of owedAgainAtMs.entries())
      if (isOwedNow[i] === false) outcome.owedAgainAtMs = Math.min(outcome.owedAgainAtMs, atMs)
    // Once a chunk is owed again, its row has served its purpose.
    await evicted.remove(owed.filter((_, i) => isOwedNow[i] && owedAgainAtMs[i] !== 0).map(({ cid }) => cid))
    return owed.filter((_, i) => isOwedNow[i])
  }

  /** Returns, for each of these blocks, whether a put that brought the file here still claims it. */
  async #areInPut(root: BlockCid, batch: readonly ManifestChunk[]): Promise<boolean[]> {
    const { claims, linkedPuts } = this.#options
    const multihashes = batch.map(({ cid }) => cid.multihash.bytes)
    const byPut = await Promise.all(linkedPuts(root).map(put => claims.hasPut(put, multihashes)))
    return batch.map((_, i) => byPut.some(isInPut => isInPut[i] === true))
  }

  /**
   * Writes a block's reference if the block is here. Returns true if the block is here. Set `isKept` if something is
   * known to claim the block.
   */
  #claimIfHere({ cid, parent }: ManifestBlock, { isKept = false } = {}): Promise<boolean> {
    const { local, write } = this.#options
    // The record itself claims its root. A free that began before the claim must end before we look for the block.
    if (parent === null) return local.whileLocked(cid, () => local.has(cid))
    return local.claimIfHere(cid, () => write([referenceOf(cid, parent)]), { isKept })
  }

  async #pull(
    { author, replicas }: RecordRef,
    { cid, chunkIndex }: ManifestChunk,
    outcome: WalkOutcome,
    { pulled, signal }: { pulled: Map<PeerId, number>; signal: AbortSignal }
  ): Promise<void> {
    const { puller, onError } = this.#options
    this.#pulling++
    try {
      const from = await puller.pull(cid, { signal, author, replicas, once: true })
      pulled.set(from, (pulled.get(from) ?? 0) + 1)
      outcome.pulled++
      this.#log.trace('pulled block %s, which was owed here', nameOf(cid))
    } catch (error) {
      if (isAbort(error)) throw error
      // At its end, the walk logs how many blocks are missing.
      this.#log.trace('could not pull block %s: %s', nameOf(cid), reasonOf(error))
      if (!isOutOfReach(error) && !(error instanceof NoSpaceError)) onError(error)
      noteMissingChunk(outcome, { chunkIndex })
    } finally {
      this.#pulling--
    }
  }

  #isOver({ outcome, endsAtMs }: Turn): boolean {
    outcome.isCut ||= this.#options.clock.monotonic() >= endsAtMs
    return outcome.isCut
  }

  /** Returns the changes that end the claims of puts, now that references replace them. */
  async #endPuts({ root }: RecordRef): Promise<readonly IndexOp[]> {
    const { codec, local, claims, takeLinkedPuts, write } = this.#options
    const puts = takeLinkedPuts(root)
    // The last changes go into the batch that removes the record's row. For most files it is the only batch.
    let endOps: IndexOp[] = []
    if (puts.length === 0) return endOps
    const readNode = (cid: BlockCid): Promise<Uint8Array> => local.getOrThrow(cid)
    const onSkip = (error: unknown): void => {
      if (!(error instanceof FormatError)) throw error
    }
    for await (const batch of walkBatches({ root, readNode, codec, select: isAny, isOnce: true, onSkip })) {
      // The keeper may have stored a block after the walk passed it, so claim it now. The record claims its root.
      const isClaimed = await claims.hasReferences(batch)
      await Promise.all(batch.map((block, i) => isClaimed[i] === false && this.#claimIfHere(block)))
      if (endOps.length > 0) await write(endOps)
      const multihashes = batch.map(({ cid }) => cid.multihash.bytes)
      endOps = (await Promise.all(puts.map(put => claims.endOps(put, multihashes)))).flat()
    }
    return endOps
  }
}

/** A walk under way, and when its turn ends, by the monotonic clock. */
interface Turn {
  outcome: WalkOutcome
  endsAtMs: number
  signal: AbortSignal
}

function noteMissingChunk(outcome: WalkOutcome, { chunkIndex }: Pick<ManifestChunk, 'chunkIndex'>): void {
  outcome.missingChunks++
  outcome.position = Math.min(outcome.position, chunkIndex)
}
