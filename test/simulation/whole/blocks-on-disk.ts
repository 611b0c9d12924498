import { SMALL_BLOCK_BYTES_MAX } from '../../../src/disk/constants.ts'
import { indexKey } from '../../../src/disk/index-db.ts'
import { withChecksum } from '../../../src/disk/index-rows.ts'
import { decodePlace, PLACE_BYTES } from '../../../src/disk/place.ts'
import { ROW_HEADER_BYTES } from '../../../src/disk/row.ts'
import { segmentPath } from '../../../src/disk/segment-layout.ts'
import { TABLES } from '../../../src/disk/tables.ts'
import { asBuffer, u32be } from '../../../src/util/bytes.ts'
import type { BlockOfContent } from './contents.ts'
import type { SimDisk } from './sim-files.ts'

const CHECKSUM_BYTES = 4
/** What the index holds of a block that was freed says which segments have rows of it. This stands for any. */
const MANY = 0

export function isLarge({ bytes }: BlockOfContent): boolean {
  return bytes.byteLength >= SMALL_BLOCK_BYTES_MAX
}

/** Returns true if a block is on a disk and counts there. The bytes of a large one must be right too. */
export function hasBlock({ rows, files }: SimDisk, block: BlockOfContent): boolean {
  const value = rows.get(indexKey(TABLES.blocks, block.multihash))
  return isPlace(value) && (!isLarge(block) || isAt(value, block, files.contents()))
}

/** Returns true if a power cut would leave the bytes of a block on a disk. */
export function isDurable({ rows, files }: SimDisk, block: BlockOfContent): boolean {
  const durable = files.durable()
  const value = rows.get(indexKey(TABLES.blocks, block.multihash))
  // A power cut may have taken the row from the index. The next start finds the block in its segment.
  if (isLarge(block) && value !== undefined) return isPlace(value) && isAt(value, block, durable)
  const folder = isLarge(block) ? 'blocks/' : 'segments/'
  for (const [name, data] of durable) if (name.startsWith(folder) && data.includes(asBuffer(block.bytes))) return true
  return false
}

function isAt(value: Uint8Array, { bytes }: BlockOfContent, files: ReadonlyMap<string, Buffer>): boolean {
  const { segment, offset, length } = decodePlace(value.subarray(CHECKSUM_BYTES))
  const end = offset + ROW_HEADER_BYTES + length
  return (
    files
      .get(segmentPath(segment))
      ?.subarray(end - bytes.byteLength, end)
      .equals(bytes) === true
  )
}

/** Returns the number of blocks on a disk. */
export function blocksOn({ rows }: SimDisk): number {
  return rows.table(TABLES.blocks).filter(({ value }) => isPlace(value)).length
}

/** Lets a disk forget a block. */
export function forgetBlock({ rows }: SimDisk, { multihash }: BlockOfContent): void {
  rows.apply([withChecksum({ type: 'put', key: indexKey(TABLES.blocks, multihash), value: u32be(MANY) })])
  rows.sync()
}

/** Returns true for the row of a block that is here. That of a block which was freed has a checksum and no place. */
function isPlace(value: Uint8Array | undefined): value is Uint8Array {
  return value !== undefined && value.byteLength >= CHECKSUM_BYTES + PLACE_BYTES
}
