/**
 * A program with two members inside it: the first founds a network, the second enters with an invite, and a file that
 * is put on one is read on the other. Run it with `node scripts/examples/embed.ts`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
// In your own program: from 'dfs-node'
import { createNode } from '../../src/index.ts'

const folder = await mkdtemp(join(tmpdir(), 'dfs-embed-'))
// Nothing outside this program takes part. Leave both out to be reachable by other machines.
const local = { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false }
try {
  await using attic = await createNode({ dataDir: join(folder, 'attic'), name: 'attic', found: true, ...local })
  attic.addEventListener('admitted', ({ detail }) => console.log(`attic met ${detail.name}`))

  const { token } = await attic.invite({ role: 'writer' })
  await using laptop = await createNode({ dataDir: join(folder, 'laptop'), name: 'laptop', join: token, ...local })
  await laptop.ready({ members: 1 })

  const { reached } = await laptop.put('/notes/today.txt', 'hello', { ack: 2 })
  console.log(`stored on ${reached.length} members`)
  for await (const bytes of await attic.get('/notes/today.txt')) console.log(Buffer.from(bytes).toString())
} finally {
  await rm(folder, { recursive: true })
}
