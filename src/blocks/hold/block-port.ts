import type { Blockstore } from 'interface-blockstore'
import type { BlockCid } from '../../format/cid.ts'

/**
 * The part of a blockstore that this room needs. Any adapter of `interface-blockstore` has the four methods; only ours
 * has the rest.
 */
export type BlockPort = Pick<Blockstore, 'has' | 'get' | 'put' | 'delete'> & {
  /** Returns the size of a block in bytes, without reading the block. */
  sizeOf?(cid: BlockCid): Promise<number | undefined>
  /** Puts blocks together. After an error, some of them may be here. */
  putAll?(blocks: readonly StoredBlock[]): Promise<void>
  /** Writes a block again. The copy that is here stays until the new one is durable. */
  replace?(cid: BlockCid, bytes: Uint8Array): Promise<void>
  /**
   * Yields every block. Only a store that nobody else uses has this method, since we free those of its blocks that
   * nothing claims.
   */
  all?(): AsyncIterable<{ multihash: Uint8Array }>
  /** True if the store keeps no reference to a buffer that it was given or that it returned. */
  isCopying?: boolean
}

/** A block to store. */
export interface StoredBlock {
  cid: BlockCid
  bytes: Uint8Array
  /** True for a block without which nothing can be freed. Our store finds room for it where others no longer fit. */
  mayTakeLast?: boolean | undefined
}
