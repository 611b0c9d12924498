/**
 * Two members that speak over a libp2p transport of your choice in place of TCP and WebSockets. This one stays in memory,
 * which is useful in tests. Run it with `node scripts/examples/own-transport.ts`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memory } from '@libp2p/memory'
// In your own program: from 'dfs-node'
import { createNode, generateNetworkKey } from '../../src/index.ts'

const folder = await mkdtemp(join(tmpdir(), 'dfs-transport-'))
// The addresses are those of the transport. Members find each other through `bootstrap` alone.
const shared = { networkKey: generateNetworkKey(), transports: [memory()], mdns: false }
try {
  await using a = await createNode({ dataDir: join(folder, 'a'), listen: ['/memory/a'], ...shared })
  await using b = await createNode({
    dataDir: join(folder, 'b'),
    listen: ['/memory/b'],
    bootstrap: ['/memory/a'],
    ...shared
  })
  await b.ready({ members: 1 })
  await a.put('/hello.txt', 'over a transport of my own', { ack: 2 })
  for await (const bytes of await b.get('/hello.txt')) console.log(Buffer.from(bytes).toString())
  console.log(
    b
      .peers()
      .map(({ via }) => via)
      .join()
  )
} finally {
  await rm(folder, { recursive: true })
}
