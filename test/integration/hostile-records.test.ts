import assert from 'node:assert/strict'
import { randomBytes, sign as signBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { encodeCanonical } from '../../src/format/canonical.ts'
import { nameBlock } from '../../src/format/cid.ts'
import { type RecordInit, ROOT_ENTRY, signRecord } from '../../src/format/entry.ts'
import { inlineRoot } from '../../src/format/seal-file.ts'
import { encodeHlc, hlcAt } from '../../src/format/stamp.ts'
import type { Statement } from '../../src/format/statement.ts'
import { createNode, generateNetworkKey } from '../../src/index.ts'
import type { Epoch } from '../../src/members/key-ring.ts'
import { concatBytes, utf8 } from '../../src/util/bytes.ts'
import { startNode } from '../fixtures/nodes.ts'
import { joinRaw, type RawMember } from '../fixtures/raw-member.ts'

const SYNC = '/dfs/sync/1.0.0'

/** Pushes statements and returns the verdicts on them. */
async function push(raw: RawMember, statements: readonly Uint8Array[]): Promise<unknown> {
  const lengths = statements.map(bytes => bytes.byteLength)
  const { fields } = await raw.call(SYNC, { do: 'push', lengths, puts: lengths.map(() => null) }, [...statements])
  return fields['verdicts']
}

function recordBy(raw: RawMember, init: Pick<RecordInit, 'root' | 'body'> & Partial<RecordInit>): Statement<'entry'> {
  const epoch = raw.keys.newest as Epoch
  const rest = { entry: randomBytes(16), incarnation: randomBytes(8), seen: [], op: 'put', replicas: 1 } as const
  const stamps = { placed: null, written: null, epoch: epoch.id, rootEpoch: epoch.id }
  return signRecord({ ...rest, ...stamps, ...init }, { ...raw.self.signing(raw.self.nextHlc()), subkey: epoch.record })
}

/** The record with another field, signed again, as no encoder of ours would write it. */
function alteredBy(raw: RawMember, { fields, hlc, grant }: Statement<'entry'>, change: object): Uint8Array {
  const rest = { ...fields, ...change, kind: 'entry', v: 1, hlc: encodeHlc(hlc), grant }
  const { network, key } = raw.self.signing(hlc)
  const sig = signBytes(null, concatBytes(utf8('dfs/entry/1\0'), network, encodeCanonical(rest)), key)
  return encodeCanonical({ ...rest, sig })
}

test('a record that asks for 2^32 copies is refused, and the node goes on, starts again and rebuilds its index', async t => {
  const networkKey = generateNetworkKey()
  const { node, options } = await startNode(t, { networkKey, name: 'victim' })
  await node.put('/mine', randomBytes(10))
  const raw = await joinRaw(t, networkKey, node.multiaddrs[0] as string)
  const body = { parent: ROOT_ENTRY, name: 'poison', kind: 'file' as const, size: 5, mtime: 0, key: randomBytes(32) }
  const record = recordBy(raw, { root: nameBlock(randomBytes(5)).bytes, body })
  assert.deepEqual(await push(raw, [alteredBy(raw, record, { replicas: 255 })]), ['ok'])
  for (const replicas of [256, 2 ** 32])
    assert.deepEqual(await push(raw, [alteredBy(raw, record, { replicas })]), ['invalid'])
  await node.put('/other', randomBytes(10))
  await node.stop()
  for (const mustRebuild of [false, true]) {
    if (mustRebuild) await rm(join(options.dataDir, 'index'), { recursive: true })
    const again = await createNode(options)
    t.after(() => again.stop())
    assert.equal((await again.status()).files, 3)
    await again.stop()
  }
})

/** Enough for a replayed batch to make more changes of the index than a call can have arguments. */
const FILES = 4_200
const RESTARTS = 30

test('the index of files that were rewritten after many restarts can be rebuilt', { timeout: 300_000 }, async t => {
  const networkKey = generateNetworkKey()
  const { node, options } = await startNode(t, { networkKey, name: 'victim' })
  const raw = await joinRaw(t, networkKey, node.multiaddrs[0] as string)
  const content = Buffer.from('x')
  const root = inlineRoot((raw.keys.newest as Epoch).content, content)
  const author = raw.self.publicKey
  // The test leaves out all rewrites but the last one, as if the others were still on their way.
  const seen = Array.from({ length: RESTARTS }, (_, i) => ({
    author,
    incarnation: randomBytes(8),
    hlc: hlcAt(Date.now() - 86_400_000 * (RESTARTS - i + 1))
  }))
  for (let start = 0; start < FILES; start += 100) {
    const some = Array.from({ length: 100 }, (_, i) => {
      const name = `f${start + i}`
      return recordBy(raw, { root, seen, body: { parent: ROOT_ENTRY, name, kind: 'file', size: 1, mtime: 0, content } })
    })
    await push(
      raw,
      some.map(({ bytes }) => bytes)
    )
  }
  assert.equal((await node.status()).files, FILES)
  await node.stop()
  await rm(join(options.dataDir, 'index'), { recursive: true })
  const startedAt = performance.now()
  const again = await createNode(options)
  t.after(() => again.stop())
  t.diagnostic(`rebuilt in ${Math.round(performance.now() - startedAt)} ms`)
  assert.equal((await again.status()).files, FILES)
})
