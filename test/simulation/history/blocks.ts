import * as onDisk from '../whole/blocks-on-disk.ts'
import type { BlockOfContent, Content } from '../whole/contents.ts'
import type { Machine } from '../whole/machine.ts'

/** Returns true if a block is on the disk of a machine and counts there: bytes in a segment that are dead do not. */
export function hasBlock({ disk }: Machine, block: BlockOfContent): boolean {
  return onDisk.hasBlock(disk, block)
}

export function hasAllBlocks(machine: Machine, { blocks }: Content): boolean {
  return blocks.every(block => hasBlock(machine, block))
}

/** Returns the number of blocks on a disk. */
export function blocksOn({ disk }: Machine): number {
  return onDisk.blocksOn(disk)
}
