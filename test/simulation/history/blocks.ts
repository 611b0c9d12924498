import { indexKey } from '../../../src/disk/index-db.ts'
import { TABLES } from '../../../src/disk/tables.ts'
import type { BlockOfContent, Content } from '../whole/contents.ts'
import type { Machine } from '../whole/machine.ts'

const CHECKSUM_BYTES = 4

/** Returns true if a block is on the disk of a machine and counts there: bytes in a segment that are dead do not. */
export function hasBlock({ disk }: Machine, { path, bytes, multihash }: BlockOfContent): boolean {
  if (path === undefined) return isPlace(disk.rows.get(indexKey(TABLES.blocks, multihash)))
  return disk.files.contents().get(path)?.equals(bytes) === true
}

export function hasAllBlocks(machine: Machine, { blocks }: Content): boolean {
  return blocks.every(block => hasBlock(machine, block))
}

/** Returns the number of blocks on a disk. */
export function blocksOn({ disk }: Machine): number {
  let count = disk.rows.table(TABLES.blocks).filter(({ value }) => isPlace(value)).length
  for (const path of disk.files.contents().keys()) if (path.startsWith('blocks/')) count++
  return count
}

/** Returns true for the row of a block that is here. That of a block which was freed has a checksum and no place. */
function isPlace(value: Uint8Array | undefined): boolean {
  return value !== undefined && value.byteLength > CHECKSUM_BYTES
}
