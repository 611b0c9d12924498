import { createHmac, timingSafeEqual } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { NoSpaceError } from '../disk/errors.ts'
import { type BlockCid, blockKey, isNode, verifyBlock } from '../format/cid.ts'
import { CHUNK_BYTES } from '../format/constants.ts'
import { rootOf } from '../format/entry.ts'
import { FormatError } from '../format/errors.ts'
import type { NodeCodec } from '../format/manifest.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { AnyStatement } from '../format/statement.ts'
import type { Verdict } from '../log/log.ts'
import { concatBytes, equalBytes, toHex, u32be, utf8 } from '../util/bytes.ts'
import { isAbort } from '../util/errors.ts'
import type { Limiter } from '../util/limiter.ts'
import { ProtocolError, RefusedError } from '../wire/errors.ts'
import { Bitmap } from './bitmap.ts'
import { Claims, type PutId, putIdOf } from './claims.ts'
import { HOLD_MS, WALK_BATCH } from './constants.ts'
import { type DagBlock, walkDag } from './dag.ts'
import { BlockCorruptError, BlockUnreachableError } from './errors.ts'
import type { Fetcher } from './fetch.ts'
import type { Holds } from './holds.ts'
import type { HoldRoot, KeepBlocks, Keeping, KeepRoot, KeepState } from './keep-protocol.ts'
import type { LocalBlocks } from './local-blocks.ts'

/** Puts whose counts are remembered; a writer whose count is forgotten is told `lacking`, and counts again. */
const COUNTS_MAX = 4_096

export interface KeeperOptions {
  self: PeerId
  local: LocalBlocks
  claims: Claims
  fetcher: Fetcher
  holds: Holds
  pulls: Limiter
  codec: NodeCodec
  /** Whether a peer may have us store bytes. */
  mayStore: (peer: PeerId) => boolean
  viewId: () => Uint8Array
  onFault: (peer: PeerId) => void
}

/** The member that is asked: it pulls, verifies, makes durable, claims, and only then says `kept`. */
export class Keeper implements Keeping {
  readonly #options: KeeperOptions
  // What each put counts on us for, by put and root.
  readonly #counts = new LRUCache<string, Bitmap>({ max: COUNTS_MAX })
  // Puts whose record has come: their claims end once the record's references are all made.
  readonly #ending = new LRUCache<string, Set<PutId>>({ max: COUNTS_MAX })

  constructor(options: KeeperOptions) {
    this.#options = options
  }

  async keepBlocks(
    { put, blocks, untilMs, fetch }: KeepBlocks,
    peer: PeerId,
    signal: AbortSignal
  ): Promise<KeepState[]> {
    if (!this.#options.mayStore(peer)) return blocks.map(() => 'refused')
    const id = putIdOf(peer, put)
    return Promise.all(
      blocks.map(async ({ cid, inline }) => {
        if (inline !== null && !verifyBlock(cid, inline))
          throw new ProtocolError('an inline block is not the one named')
        return this.#keepOne(cid, { id, untilMs, inline, from: fetch ? peer : null, signal })
      })
    )
  }

  async keepRoot({ put, root, leaves, untilMs, fetch }: KeepRoot, peer: PeerId, signal: AbortSignal): Promise<Bitmap> {
    if (!this.#options.mayStore(peer)) throw new RefusedError('forbidden')
    const id = putIdOf(peer, put)
    const lacking = new Bitmap()
    const keep = (cid: BlockCid): Promise<KeepState> =>
      this.#keepOne(cid, { id, untilMs, inline: null, from: fetch ? peer : null, signal })
    const isWhole = await this.#forCounted(root, leaves, keep, async batch => {
      const claimed = await this.#options.claims.hasPut(
        id,
        batch.map(({ cid }) => cid.multihash.bytes)
      )
      await Promise.all(
        batch.map(async ({ cid, leaf }, i) => {
          const isKept = claimed[i] === true && (await this.#options.local.has(cid))
          if (!isKept && (await keep(cid)) !== 'kept') lacking.add(leaf as number)
        })
      )
    })
    if (!isWhole) return leaves
    this.#counts.set(countKey(id, root), leaves)
    return lacking
  }

  async holdRoot(
    { view, root, leaves, fetch, nonce, records }: HoldRoot,
    peer: PeerId,
    signal: AbortSignal
  ): Promise<{ lacking: Bitmap; proofs: Uint8Array }> {
    // Ranks under different views differ: a promise made under one says nothing under the other.
    if (nonce !== undefined && !equalBytes(view, this.#options.viewId())) throw new RefusedError('view-differs')
    const lacking = new Bitmap()
    const proofs: Uint8Array[] = []
    const isWhole = await this.#forCounted(root, leaves, asItIs, async batch => {
      for (const block of batch) {
        const proof = await this.#hold(block, { root, fetch, nonce, records, peer, signal })
        if (proof === undefined) lacking.add(block.leaf as number)
        else proofs.push(proof)
      }
    })
    return isWhole ? { lacking, proofs: concatBytes(...proofs) } : { lacking: leaves, proofs: new Uint8Array(0) }
  }

  /** The last word on a record that was pushed with a put: `ok` while every block counted on us is here and claimed. */
  async holdsPut(statement: AnyStatement, put: Uint8Array, peer: PeerId): Promise<Verdict> {
    if (statement.kind !== 'entry' || statement.fields.root === null) return 'ok'
    const root = rootOf(statement.fields.root)
    if ('siv' in root) return 'ok'
    const id = putIdOf(peer, put)
    const count = this.#counts.get(countKey(id, root.cid)) ?? (isNode(root.cid) ? undefined : Bitmap.full(1))
    if (count === undefined) return 'lacking'
    let isSafe = true
    const isWhole = await this.#forCounted(root.cid, count, asItIs, async batch => {
      isSafe &&= await this.#areSafe(batch, id)
    })
    if (!isWhole || !isSafe) return 'lacking'
    this.endWithRecord(root.cid, id)
    return 'ok'
  }

  /** Lets a put's claims on a file end once a record's references have taken their place. */
  endWithRecord(root: BlockCid, id: PutId): void {
    const ending = this.#ending.get(blockKey(root)) ?? new Set<PutId>()
    this.#ending.set(blockKey(root), ending.add(id))
  }

  /** Puts whose claims on a file's blocks have become references; each is given once. */
  takeEnded(root: BlockCid): PutId[] {
    const ended = this.#ending.get(blockKey(root))
    this.#ending.delete(blockKey(root))
    return ended === undefined ? [] : [...ended]
  }

  async #keepOne(
    cid: BlockCid,
    options: { id: PutId; untilMs: number; inline: Uint8Array | null; from: PeerId | null; signal: AbortSignal }
  ): Promise<KeepState> {
    const { local, claims, fetcher, pulls } = this.#options
    const { id, untilMs, inline, from, signal } = options
    const claim = (): Promise<void> => claims.claimForPut(id, [cid.multihash.bytes], untilMs)
    try {
      if (await local.claimHeld(cid, claim)) return 'kept'
      if (inline !== null) {
        await local.keep(cid, inline, claim)
        return 'kept'
      }
      if (from === null) return 'lacking'
      const release = await pulls.acquire(CHUNK_BYTES, signal)
      try {
        const { bytes } = await fetcher.fetch(cid, { signal, prefer: [from], only: true })
        await local.keep(cid, bytes, claim)
      } finally {
        release()
      }
      return 'kept'
    } catch (error) {
      if (error instanceof NoSpaceError) return 'full'
      if (error instanceof BlockUnreachableError || error instanceof BlockCorruptError || isAbort(error))
        return 'lacking'
      throw error
    }
  }

  /**
   * Walks a file's manifest and hands on the chunks that the bitmap names, in order, a batch at a time. False if a node
   * of the manifest is not here, after `ensureNode` had its try.
   */
  async #forCounted(
    root: BlockCid,
    leaves: Bitmap,
    ensureNode: (cid: BlockCid) => Promise<unknown>,
    onBatch: (batch: DagBlock[]) => Promise<void>
  ): Promise<boolean> {
    const { local, codec } = this.#options
    const readNode = async (cid: BlockCid): Promise<Uint8Array> => {
      await ensureNode(cid)
      const bytes = await local.get(cid)
      if (bytes === undefined) throw new BlockUnreachableError(cid)
      return bytes
    }
    let batch: DagBlock[] = []
    try {
      for await (const block of walkDag(root, readNode, codec)) {
        if (block.leaf === null || !leaves.has(block.leaf)) continue
        batch.push(block)
        if (batch.length < WALK_BATCH) continue
        await onBatch(batch)
        batch = []
      }
    } catch (error) {
      if (error instanceof FormatError) throw new RefusedError('invalid')
      if (error instanceof BlockUnreachableError) return false
      throw error
    }
    if (batch.length > 0) await onBatch(batch)
    return true
  }

  async #areSafe(batch: DagBlock[], id: PutId): Promise<boolean> {
    const { local, claims } = this.#options
    const claimed = await claims.hasPut(
      id,
      batch.map(({ cid }) => cid.multihash.bytes)
    )
    const safe = await Promise.all(
      batch.map(
        async ({ cid }, i) =>
          (await local.has(cid)) && (claimed[i] === true || (await claims.isReferenced(cid.multihash.bytes)))
      )
    )
    return safe.every(Boolean)
  }

  /** A question without a nonce gives an empty proof; undefined means that the block is lacking. */
  async #hold(
    { cid, parent }: DagBlock,
    {
      root,
      fetch,
      nonce,
      records,
      peer,
      signal
    }: {
      root: BlockCid
      fetch: boolean
      nonce: Uint8Array | undefined
      records: Uint8Array[]
      peer: PeerId
      signal: AbortSignal
    }
  ): Promise<Uint8Array | undefined> {
    const { local, fetcher, claims, holds, pulls } = this.#options
    if (nonce === undefined) return (await local.has(cid)) ? new Uint8Array(0) : undefined
    if (!(await this.#refersByAll(cid, root, records))) return undefined
    if (!(await local.has(cid))) {
      if (!fetch) return undefined
      try {
        const { bytes } = await pulls.run(() => fetcher.fetch(cid, { signal, prefer: [peer] }), signal)
        const owner =
          parent === null
            ? records.map(id => ({ by: 'record' as const, id }))
            : [{ by: 'node' as const, multihash: parent }]
        await local.keep(cid, bytes, () => claims.add(owner.map(by => Claims.reference(cid.multihash.bytes, by))))
      } catch (error) {
        if (
          error instanceof NoSpaceError ||
          error instanceof BlockUnreachableError ||
          error instanceof BlockCorruptError
        )
          return undefined
        throw error
      }
    }
    holds.grant(cid, peer, HOLD_MS)
    const bytes = await local.get(cid)
    return bytes === undefined ? undefined : proofOf(nonce, peer, this.#options.self, bytes)
  }

  // Whoever asks names every record that needs the block; a member that does not know one of them cannot stand in.
  async #refersByAll(cid: BlockCid, root: BlockCid, records: readonly Uint8Array[]): Promise<boolean> {
    if (records.length === 0) return false
    const { claims } = this.#options
    const referring = new Set<string>()
    const pending: Uint8Array[] = [cid.multihash.bytes, root.multihash.bytes]
    const seen = new Set<string>()
    while (pending.length > 0) {
      const multihash = pending.pop() as Uint8Array
      if (seen.has(toHex(multihash))) continue
      seen.add(toHex(multihash))
      for (const owner of await claims.owners(multihash)) {
        if (owner.by === 'record') referring.add(toHex(owner.id))
        if (owner.by === 'node') pending.push(owner.multihash)
      }
    }
    return records.every(id => referring.has(toHex(id)))
  }
}

/** What shows that a keeper has a block's bytes now, and holds them for this asker: HMAC-SHA-256 under the asker's nonce. */
export function proofOf(nonce: Uint8Array, asker: PeerId, keeper: PeerId, bytes: Uint8Array): Uint8Array {
  const mac = createHmac('sha256', nonce)
  for (const part of [utf8(asker), utf8(keeper)]) mac.update(u32be(part.byteLength)).update(part)
  return mac.update(bytes).digest()
}

export function isProof(
  proof: Uint8Array,
  nonce: Uint8Array,
  asker: PeerId,
  keeper: PeerId,
  bytes: Uint8Array
): boolean {
  return proof.byteLength === PROOF_BYTES && timingSafeEqual(proof, proofOf(nonce, asker, keeper, bytes))
}

export const PROOF_BYTES = 32

const asItIs = async (): Promise<void> => {}

function countKey(id: PutId, root: BlockCid): string {
  return `${toHex(id)} ${blockKey(root)}`
}
