import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { NodeEvent } from '../../../src/api.ts'
import { DiskError, IndexCorruptError, NoSpaceError } from '../../../src/disk/errors.ts'
import { NotAllowedError } from '../../../src/members/errors.ts'
import { Node } from '../../../src/node/node.ts'
import type { Stack } from '../../../src/node/stack.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { FakeFiles, type FakeFilesOptions } from '../../fixtures/fake-files.ts'
import { RecordingLogger } from '../../fixtures/logger.ts'
import { codeOfRejection } from '../../fixtures/nodes.ts'
import { settle } from '../../fixtures/pass-time.ts'

const MINUTE = 60_000

/** A stack in which nothing runs, but which answers `stat` of `/` and what a status is made of. */
class FakeStack {
  isStopped = false
  readonly standing = { isRemoved: false, isDuplicated: false }
  readonly waitingHere: Array<{ code: string }> = []
  readonly networkKey = { isExposed: false }
  readonly inDoubt: string[] = []
  readonly catchingUpWith: string[] = []
  readonly stack: Stack

  constructor() {
    const members = {
      self: { peerId: 'me', name: 'me', role: 'admin', network: new Uint8Array(32) },
      view: { members: [] },
      admitted: [],
      all: [],
      writeError: undefined,
      missingNewsOf: [],
      undecided: [],
      outAfterMs: { network: 600_000, flag: undefined },
      unreachable: [],
      clocks: { error: undefined, refusals: [], differences: [] },
      member: () => undefined,
      standing: this.standing,
      admitting: { waitingHere: this.waitingHere }
    }
    const nothing = { blocks: 0, bytes: 0 }
    this.stack = {
      fs: {
        members,
        blocks: {
          owed: { ...nothing, files: 0, by: [] },
          repairing: nothing,
          badBlocks: { found: 0, left: 0 },
          freeing: { unreadableNodes: 0 },
          inDanger: { blocksAtRisk: 0, incomplete: [] }
        },
        sync: { inDoubt: this.inDoubt, catchingUpWith: this.catchingUpWith },
        author: { waitsForKey: false },
        tree: { countFiles: async () => 7, resolve: async () => undefined }
      },
      membership: { networkKey: this.networkKey },
      workers: [],
      log: { earlyCount: 0, asides: { count: 0 }, lostCount: 0 },
      comparison: { isWhole: true, missing: 0 },
      host: { addresses: () => [] },
      keys: { received: async () => true },
      capacity: { isFull: false, usedBytes: 0, capacityBytes: 0 },
      diskMonitor: { state: 'ok' },
      report: { rebuilt: false, wasClean: true, replayedRows: 0, damagedStretches: 0 },
      stop: async () => {
        this.isStopped = true
      }
    } as unknown as Stack
  }
}

interface Setup {
  node: Node
  clock: ManualClock
  stacks: FakeStack[]
  events: NodeEvent[]
  /** What was logged. */
  lines: string[]
  unlocks: () => number
  /** How often the node has asked for room on a full disk. */
  releases: () => number
  doubt: () => void
}

/** A node whose stacks start only if `mayStart` lets them. It throws to prevent a start. */
async function setup(
  t: TestContext,
  mayStart: () => void,
  before: FakeFilesOptions['before'] = () => {}
): Promise<Setup> {
  const clock = new ManualClock()
  const stacks: FakeStack[] = []
  const events: NodeEvent[] = []
  const logger = new RecordingLogger()
  let unlocks = 0
  let releases = 0
  let doubt: (error: IndexCorruptError) => void = () => {}
  const files = Object.assign(new FakeFiles({ before }), { state: 'ok' as const })
  const init = {
    files,
    clock,
    unlock: async () => {
      unlocks++
    },
    makeRoom: async () => ++releases > 0,
    onEvent: (event: NodeEvent) => events.push(event),
    network: Buffer.alloc(32),
    logger
  }
  const startStack = async (onDoubt: (error: IndexCorruptError) => void): Promise<Stack> => {
    doubt = onDoubt
    if (stacks.length > 0) mayStart()
    stacks.push(new FakeStack())
    return (stacks.at(-1) as FakeStack).stack
  }
  const node = new Node({ ...init, startStack })
  await files.makeDirectory('')
  await node.start()
  t.after(() => node.stop())
  return {
    node,
    clock,
    stacks,
    events,
    lines: logger.lines,
    unlocks: () => unlocks,
    releases: () => releases,
    doubt: () => doubt(new IndexCorruptError('a row is missing'))
  }
}

test('a rebuild that fails is repeated; meanwhile verbs fail with its reason, and status answers', async t => {
  let isFull = true
  const { node, clock, stacks, events, doubt, releases } = await setup(t, () => {
    if (isFull) throw new NoSpaceError('the disk is full')
  })
  assert.equal((await node.status()).files, 7)
  doubt()
  doubt()
  await settle()
  assert.equal(stacks[0]?.isStopped, true)
  assert.equal(releases(), 1)
  assert.deepEqual(events, [{ event: 'failed', code: 'no-space', task: 'rebuild' }])
  assert.equal(await codeOfRejection(node.stat('/')), 'no-space')
  const { warnings } = await node.status()
  assert.ok(
    warnings.some(warning => warning.includes('could not be rebuilt (no-space)')),
    warnings.join()
  )
  for (let i = 0; i < 20; i++) {
    clock.advance(MINUTE)
    await settle(5)
  }
  assert.ok(events.length > 3 && events.length < 12, `${events.length} attempts in 20 minutes`)
  isFull = false
  clock.advance(10 * MINUTE)
  await settle()
  assert.equal(stacks.length, 2)
  assert.deepEqual((await node.status()).warnings, [])
  assert.deepEqual([stacks[0]?.isStopped, stacks[1]?.isStopped], [true, false])
})

test('a node whose index cannot be opened again still answers a status, which says so', async t => {
  const { node, stacks } = await setup(t, () => {})
  const failure = new NoSpaceError('the disk is full')
  const stack = (stacks[0] as FakeStack).stack as { diskMonitor: object; fs: { tree: object } }
  stack.diskMonitor = { state: 'full', indexFailure: failure }
  stack.fs.tree = {
    countFiles: async () => {
      throw failure
    }
  }
  const { files, disk, warnings } = await node.status()
  assert.deepEqual([files, disk.state], [0, 'full'])
  assert.match(warnings.join(), /the index could not be written \(no-space\): nothing is stored until it can be/)
})

test('status names the members whose changes are still arriving', async t => {
  const { node, stacks } = await setup(t, () => {})
  stacks[0]!.catchingUpWith.push('somebody')
  const { catchingUpWith, warnings } = await node.status()
  assert.deepEqual(catchingUpWith, ['somebody'])
  assert.deepEqual(warnings, [
    'changes are still arriving (somebody): until then, what this node lists may be incomplete'
  ])
})

test('status says why the space of removed files does not return to a full disk', async t => {
  const { node, stacks } = await setup(t, () => {})
  const status = { name: 'compaction', state: 'waiting', lastError: 'no-space', nextInMs: 10_000 }
  Object.assign(stacks[0]!.stack, { workers: [{ status }] })
  assert.match((await node.status()).warnings.join(), /^the space of removed files cannot return, .*: free some space/)
})

test('status warns of members whose statements stay different', async t => {
  const { node, stacks } = await setup(t, () => {})
  assert.deepEqual((await node.status()).warnings, [])
  stacks[0]!.inDoubt.push('somebody')
  const { warnings } = await node.status()
  assert.match(warnings.join(), /^the statements of some members differ from those of this one.*\(1\)/)
})

test('status says who waits, that this machine was removed or copied, and that its disk holds the network key', async t => {
  const { node, stacks } = await setup(t, () => {})
  const [stack] = stacks as [FakeStack]
  const before = await node.status()
  assert.deepEqual([before.state, before.waiting, before.warnings], ['in', 0, []])
  assert.equal(before.words.split(' ').length, 6)
  stack.waitingHere.push({ code: 'K7Q2ZD' }, { code: '000000' })
  stack.networkKey.isExposed = true
  Object.assign(stack.standing, { isRemoved: true, isDuplicated: true })
  const { state, waiting, warnings } = await node.status()
  assert.deepEqual([state, waiting, warnings.length], ['removed', 2, 5])
  const all = warnings.join('\n')
  assert.match(all, /^this machine is no longer a member\. Ask for a new invite/m)
  const why = 'this machine is no longer a member: its invite was revoked before it was used'
  Object.assign(stack.stack.fs.members.self, { stampError: new NotAllowedError(why) })
  assert.ok((await node.status()).warnings.includes(why), 'the reason is the one of this machine')
  assert.match(all, /^another node runs with this machine's identity: was the data directory copied\?/m)
  for (const code of ['K7Q2ZD', '000000'])
    assert.ok(warnings.includes(`a machine waits to be let in (code ${code}): see dfs members`))
  assert.match(all, /^the disk of this machine holds the network key, .* dfs network recovery --forget$/m)
})

test('the stack in doubt stops even if the doubt cannot be written down, and the next attempt writes it', async t => {
  let isFailing = false
  const { stacks, doubt, clock, releases } = await setup(
    t,
    () => {},
    () => {
      if (isFailing) throw new DiskError('the disk reported EIO')
    }
  )
  isFailing = true
  doubt()
  await settle()
  assert.deepEqual([stacks.length, stacks[0]?.isStopped, releases()], [1, true, 0])
  isFailing = false
  clock.advance(MINUTE)
  await settle()
  assert.equal(stacks.length, 2)
})

test('an index that is in doubt again before its rebuild is complete is rebuilt once more', async t => {
  let rebuilds = 0
  const { stacks, doubt } = await setup(t, () => {
    if (++rebuilds === 1) doubt()
  })
  doubt()
  await settle()
  assert.deepEqual(
    stacks.map(({ isStopped }) => isStopped),
    [true, true, false]
  )
  doubt()
  await settle()
  assert.equal(stacks.length, 4)
})

test('a stack that has started stops if the end of the doubt cannot be written down', async t => {
  let removals = 0
  const { stacks, doubt, clock } = await setup(
    t,
    () => {},
    ({ name, path }) => {
      // Each start removes the file, and the second start fails to do so.
      if (name === 'remove' && path === 'index.doubt' && ++removals === 2) throw new DiskError('the disk reported EIO')
    }
  )
  doubt()
  await settle()
  assert.deepEqual(
    stacks.map(({ isStopped }) => isStopped),
    [true, true]
  )
  clock.advance(MINUTE)
  await settle()
  assert.deepEqual(
    stacks.map(({ isStopped }) => isStopped),
    [true, true, false]
  )
})

test('a node can be stopped while it waits to repeat a rebuild', async t => {
  const { node, clock, stacks, doubt, unlocks } = await setup(t, () => {
    throw new DiskError('the disk reported EIO')
  })
  doubt()
  await settle()
  await node.stop()
  assert.deepEqual([unlocks(), stacks[0]?.isStopped], [1, true])
  clock.advance(60 * MINUTE)
  await settle()
  assert.equal(stacks.length, 1)
  assert.equal(await codeOfRejection(node.status()), 'aborted')
})

test('the log says once when a node is up, and once when it stops', async t => {
  const { node, lines } = await setup(t, () => {})
  await node.stop()
  await node.stop()
  assert.deepEqual(lines, ['dfs:node up: member me of network 00000000', 'dfs:node stopping'])
})
