import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CID } from 'multiformats/cid'
import type { RemoveOptions } from '../../../src/catalog/changes/remove.ts'
import { NoSpaceError } from '../../../src/disk/errors.ts'
import { parsePath } from '../../../src/format/path.ts'
import type { FsContext } from '../../../src/fs/context.ts'
import { copyPath } from '../../../src/fs/copy.ts'
import { evictPath } from '../../../src/fs/evict.ts'
import { PartlyDoneError, partlyDone } from '../../../src/fs/partly-done.ts'
import { removePath } from '../../../src/fs/remove.ts'
import { replicate } from '../../../src/fs/replicate.ts'
import { RecordingLogger } from '../../fixtures/logger.ts'

const full = new NoSpaceError('the disk is full')

/** A member that can read names. */
const READER = { standing: { assertReads: () => {} } }

test('a recursive removal that fails half-way says so, and keeps the code of the cause', async () => {
  const remove = (deleted: number) => {
    const catalog = {
      remove: async (_: unknown, { onAppended }: Pick<RemoveOptions, 'onAppended'>) => {
        if (deleted > 0) await onAppended?.([], deleted)
        throw full
      }
    }
    return removePath({ catalog } as unknown as FsContext, parsePath('/dir'), { recursive: true })
  }
  await assert.rejects(remove(256), error => {
    assert.ok(error instanceof PartlyDoneError)
    assert.deepEqual([error.code, error.cause], ['no-space', full])
    assert.match(error.message, /^the disk is full; 256 .* removed/)
    return true
  })
  await assert.rejects(remove(0), full)
})

test('an abort stays an abort, and an unknown error stays what it is', () => {
  const abort = AbortSignal.abort().reason
  const unknown = new TypeError('/a/path')
  assert.equal(partlyDone(abort, 3, 'some'), abort)
  assert.equal(partlyDone(unknown, 3, 'some'), unknown)
})

test('a put whose record is durable does not fail if the copies that are owed cannot be noted', async () => {
  const logger = new RecordingLogger()
  const outcome = { reached: ['self'], wanted: 3, owedBlocks: 2 }
  const fs = {
    logger,
    members: { self: { peerId: 'self' } },
    blocks: {
      pushRecord: async () => outcome,
      handOff: async () => {
        throw full
      }
    }
  } as unknown as FsContext
  const record = { id: new Uint8Array(32) }
  const root = CID.parse('bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy')
  const change = { path: [], record, statements: [record] } as unknown as Parameters<typeof replicate>[1]
  const kept = { root } as unknown as NonNullable<Parameters<typeof replicate>[2]['kept']>
  const options = { kept, replicas: 3, ack: undefined, chunkBytes: 1, signal: undefined }
  assert.deepEqual(await replicate(fs, change, options), outcome)
  assert.ok(logger.lines.some(line => line.includes('could not be noted')))
})

test('an evict that fails half-way says how many blocks it freed', async () => {
  let evicts = 0
  const file = (name: string) => ({
    kind: 'file',
    path: ['dir', name],
    record: {
      id: new Uint8Array(32),
      root: Buffer.from('01551220'.padEnd(72, '0'), 'hex'),
      stamp: { author: new Uint8Array(32) }
    },
    shown: { replicas: 1 }
  })
  const fs = {
    members: READER,
    tree: {
      resolve: async () => ({ kind: 'directory', path: ['dir'] }),
      async *list() {
        yield file('a')
        yield file('b')
      }
    },
    blocks: {
      freeing: {
        evict: async (_record: unknown, _signal: unknown, result: { freed: { blocks: number } }) => {
          result.freed.blocks += 5
          if (++evicts === 2) throw full
        }
      }
    }
  } as unknown as FsContext
  await assert.rejects(evictPath(fs, parsePath('/dir')), error => {
    assert.ok(error instanceof PartlyDoneError, String(error))
    assert.match(error.message, /10 blocks have been freed/)
    return true
  })
})

test('a copy of a directory that fails says how much of it was made', async () => {
  const directory = { kind: 'directory', path: ['dir'], ids: [new Uint8Array(16)] }
  let made = 0
  const fs = {
    members: READER,
    defaults: { replicas: 1 },
    tree: {
      resolve: async (path: string[]) => (path[0] === 'dir' ? directory : undefined),
      async *list(node: { path: string[] }) {
        for (const name of node.path.length === 1 ? ['a', 'b'] : [])
          yield { kind: 'directory', path: ['dir', name], ids: [new Uint8Array(16)] }
      }
    },
    catalog: {
      mkdir: async (path: string[]) => {
        if (++made === 3) throw full
        return { path, statements: [] }
      }
    }
  } as unknown as FsContext
  await assert.rejects(copyPath(fs, parsePath('/dir'), parsePath('/copy')), { message: /full; 2 of its files and dir/ })
})
