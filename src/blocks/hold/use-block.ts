import type { BlockCid } from '../../format/cid.ts'
import type { LocalBlocks } from './local-blocks.ts'

/**
 * Reads a block as `LocalBlocks.get` does, for `use` alone: its memory is used again afterwards, so `use` must keep no
 * reference to the bytes. Returns what `use` returns, or undefined if the block is not here.
 */
export async function useBlock<T>(
  local: Pick<LocalBlocks, 'get' | 'returnBuffer'>,
  cid: BlockCid,
  use: (bytes: Uint8Array) => T | Promise<T>,
  signal?: AbortSignal
): Promise<T | undefined> {
  const bytes = await local.get(cid, signal)
  if (bytes === undefined) return undefined
  try {
    return await use(bytes)
  } finally {
    local.returnBuffer(bytes)
  }
}
