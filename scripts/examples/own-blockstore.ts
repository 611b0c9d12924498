/**
 * A member whose blocks are in a blockstore of your choice, such as one on an object store. Any implementation of
 * `interface-blockstore` works. A real one must not resolve `put` before the block is durable; this one stays in memory,
 * so that you can see what arrives. The log, the claims and the keys stay in the data directory. Run it with
 * `node scripts/examples/own-blockstore.ts`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryBlockstore } from 'blockstore-core'
// In your own program: from 'dfs-node'
import { createNode } from '../../src/index.ts'

const folder = await mkdtemp(join(tmpdir(), 'dfs-blockstore-'))
const blockstore = new MemoryBlockstore()
try {
  await using node = await createNode({
    dataDir: join(folder, 'data'),
    blockstore,
    found: true,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    mdns: false
  })
  await node.put('/large', Buffer.alloc(3 << 20, 'large '))
  let blocks = 0
  for await (const _ of blockstore.getAll()) blocks++
  const { size } = await node.stat('/large')
  console.log(`${size} bytes are in ${blocks} sealed blocks`)
} finally {
  await rm(folder, { recursive: true })
}
