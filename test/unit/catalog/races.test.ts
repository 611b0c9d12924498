import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tagOfContent } from '../../../src/catalog/content-tag.ts'
import { pastOf, pastOfAll } from '../../../src/catalog/heads.ts'
import type { FileNode } from '../../../src/catalog/tree-node.ts'
import { parsePath } from '../../../src/format/path.ts'
import { equalBytes, toHex } from '../../../src/util/bytes.ts'
import { codeOf } from '../../../src/util/errors.ts'
import { settle } from '../../fixtures/pass-time.ts'
import { admin, carrying, contentOf, directoryAt, fileWith, Setup, type Signed, sign, writer } from './setup.ts'

/**
 * A change may coincide with another one, or with a record of another member, at each of its reads and at its append.
 * Every test here runs once for each of these moments.
 */

const ENTRY = Buffer.alloc(16, 1)
const put = (setup: Setup, path: string, text: string, more: object = {}) =>
  setup.catalog.link(parsePath(path), contentOf(text), { replicas: 1, ...more })
const move = (setup: Setup, from: string, to: string, more: object = {}) =>
  setup.catalog.move(parsePath(from), parsePath(to), { replicas: 1, ...more })
const remove = (setup: Setup, path: string, more: object = {}) =>
  setup.catalog.remove(parsePath(path), { recursive: true, ...more })
const outcomeOf = (work: Promise<unknown>): Promise<string> => work.then(() => 'ok', codeOf)

/** No change here reads more often than this. */
const READS_MAX = 80

interface Race {
  prepare: (setup: Setup) => Promise<void>
  /** The change under test. */
  change: (setup: Setup) => Promise<unknown>
  /** The change or record that coincides with it. */
  other: (setup: Setup) => Promise<unknown>
  check: (setup: Setup, outcomes: { change: string; other: string }) => Promise<void>
}

/** Runs the race once for each moment: the other comes at the first moment, then at the second one, and so on. */
async function race({ prepare, change, other, check }: Race): Promise<void> {
  for (let moment = 0; moment < READS_MAX; moment++) {
    const setup = await Setup.open()
    await prepare(setup)
    let left = moment
    let met: Promise<string> | undefined
    setup.beforeEach = async () => {
      if (left-- !== 0) return
      met = outcomeOf(other(setup))
      // The other may have to wait for a lock of this change.
      await Promise.race([met, settle(20)])
    }
    const outcome = await outcomeOf(change(setup))
    setup.beforeEach = undefined
    if (met === undefined) {
      assert.ok(moment > 2, `only ${moment} moments`)
      return
    }
    await check(setup, { change: outcome, other: await met })
  }
  assert.fail('a change reads more than the test allows')
}

const first = () => sign({ entry: ENTRY, ...fileWith('first', { name: 'f' }) })
/** Signs what a writer writes to the file, and adds it as a record that has arrived. */
async function arrives(setup: Setup, made: Signed, text: string): Promise<void> {
  const hlc = made.record.stamp.hlc + 1n
  await setup.add(sign({ entry: ENTRY, by: writer, hlc, seen: pastOf(made.record), ...fileWith(text, { name: 'f' }) }))
}

test('a put or a removal under a condition covers no write that arrives after the condition was checked', async () => {
  for (const verb of [
    (setup: Setup, ifTag: string) => put(setup, '/f', 'mine', { ifTag }),
    (setup: Setup, ifTag: string) => remove(setup, '/f', { ifTag })
  ]) {
    const made = first()
    const ifTag = tagOfContent(made.record) as string
    await race({
      prepare: setup => setup.add(made),
      change: setup => verb(setup, ifTag),
      other: setup => arrives(setup, made, 'theirs'),
      check: async (setup, { change }) => {
        const contents = (await setup.contents()).map(line => line.split(' ').at(-1))
        assert.ok(contents.includes('theirs'), `${change}: ${contents.join()}`)
        assert.ok(change === 'ok' || change === 'changed', change)
      }
    })
  }
})

test('of two puts that may not replace anything only one succeeds', async () => {
  await race({
    prepare: async setup => {
      await setup.catalog.mkdir(parsePath('/d'), 1)
    },
    change: setup => put(setup, '/d/f', 'one', { noClobber: true }),
    other: setup => put(setup, '/d/f', 'two', { noClobber: true }),
    check: async (setup, { change, other }) => {
      assert.deepEqual([change, other].sort(), ['exists', 'ok'])
      assert.deepEqual(await setup.contents(), [`/d/f ${change === 'ok' ? 'one' : 'two'}`])
    }
  })
})

test('a removal of a conflict version keeps content that is put to the file meanwhile', async () => {
  const made = first()
  let conflict = ''
  await race({
    prepare: async setup => {
      await setup.add(made)
      await setup.add(sign({ entry: ENTRY, by: writer, ...fileWith('other', { name: 'f' }) }))
      const { shown } = (await setup.at('/f')) as FileNode
      conflict = `/f (conflict ${toHex(shown.conflicts[0]!.id).slice(0, 8)})`
    },
    change: setup => remove(setup, conflict),
    other: setup => put(setup, '/f', 'put'),
    check: async (setup, { change, other }) => {
      assert.equal(other, 'ok')
      assert.ok(change === 'ok' || change === 'not-found', change)
      assert.deepEqual(await setup.contents(), ['/f put'])
    }
  })
})

test('a recursive removal spares a file that has been moved out, and a file in a directory that has been moved out', async () => {
  for (const [from, to] of [
    ['/d/e/f', '/f'],
    ['/d/e', '/e'],
    ['/d', '/x']
  ] as const) {
    await race({
      prepare: async setup => {
        await put(setup, '/d/e/f', 'x')
        await put(setup, '/d/g', 'y')
      },
      change: setup => remove(setup, '/d'),
      other: setup => move(setup, from, to),
      check: async (setup, { change, other }) => {
        assert.ok(change === 'ok' || (from === '/d' && change === 'not-found'), change)
        const contents = await setup.contents()
        assert.ok(!contents.some(line => line.startsWith('/d')), contents.join())
        if (from !== '/d') assert.deepEqual(contents, other === 'ok' ? [to === '/f' ? '/f x' : '/e/f x'] : [])
        // The directory itself may be moved after some of it was deleted, but then the rest stays.
        if (change === 'not-found') assert.equal(contents.length, 2)
      }
    })
  }
})

test('a recursive removal also deletes what is put or moved in while it runs', async () => {
  for (const other of [
    (setup: Setup) => put(setup, '/d/e/new', 'z'),
    (setup: Setup) => move(setup, '/d/e/f', '/d/f'),
    (setup: Setup) => move(setup, '/d/g', '/d/e/g')
  ])
    await race({
      prepare: async setup => {
        await put(setup, '/d/e/f', 'x')
        await put(setup, '/d/g', 'y')
      },
      change: setup => remove(setup, '/d'),
      other,
      check: async (setup, { change, other }) => {
        assert.equal(change, 'ok')
        const contents = await setup.contents()
        // A file that arrives after the directory was deleted makes a new directory.
        assert.ok(contents.length === 0 || (other === 'ok' && contents.length === 1), `${other}: ${contents.join()}`)
      }
    })
})

test('of a move and a removal of one file one succeeds, and the other finds nothing', async () => {
  for (const isMoveFirst of [true, false]) {
    const verbs = [(setup: Setup) => move(setup, '/f', '/g'), (setup: Setup) => remove(setup, '/f')] as const
    const [change, other] = isMoveFirst ? verbs : [verbs[1], verbs[0]]
    await race({
      prepare: async setup => {
        await put(setup, '/f', 'x')
      },
      change,
      other,
      check: async (setup, outcomes) => {
        const [moved, removed] = isMoveFirst ? [outcomes.change, outcomes.other] : [outcomes.other, outcomes.change]
        assert.deepEqual([moved, removed].sort(), ['not-found', 'ok'])
        assert.deepEqual(await setup.contents(), moved === 'ok' ? ['/g x'] : [])
      }
    })
  }
})

test('a put and a move of its directory leave one file, with what was put', async () => {
  await race({
    prepare: async setup => {
      await put(setup, '/d/f', 'old')
    },
    change: setup => put(setup, '/d/f', 'new'),
    other: async setup => {
      await move(setup, '/d', '/e')
      await put(setup, '/e/f', 'later', { noClobber: true }).catch(() => {})
    },
    check: async (setup, { change, other }) => {
      assert.deepEqual([change, other], ['ok', 'ok'])
      const contents = await setup.contents()
      const before = ['/e/f new']
      const after = ['/d/f new', '/e/f old']
      assert.ok(
        [before, after].some(all => all.join() === contents.join()),
        contents.join()
      )
    }
  })
})

test('two puts through different paths to one directory do not give one name to two files', async () => {
  await race({
    prepare: async setup => {
      await setup.catalog.mkdir(parsePath('/d'), 1)
    },
    change: setup => put(setup, '/d/f', 'one', { noClobber: true }),
    other: async setup => {
      await move(setup, '/d', '/e')
      await put(setup, '/e/f', 'two', { noClobber: true })
    },
    check: async (setup, { change, other }) => {
      const contents = await setup.contents()
      assert.ok(!contents.some(line => line.includes('conflict')), contents.join())
      assert.equal(contents.length, [change, other].filter(outcome => outcome === 'ok').length)
    }
  })
})

test('a directory that is deleted elsewhere while it is moved shows at its new path', async () => {
  const directory = sign({ entry: ENTRY, ...directoryAt('d') })
  const below = sign({ entry: Buffer.alloc(16, 2), ...fileWith('x', { parent: ENTRY, name: 'f' }) })
  const hlc = directory.record.stamp.hlc + 1n
  const fields = { entry: ENTRY, by: writer, hlc, seen: pastOf(directory.record), ...directoryAt('d') } as const
  await race({
    prepare: setup => setup.add(directory, below),
    change: setup => move(setup, '/d', '/e'),
    other: setup => setup.add(sign({ op: 'delete', placed: directory.record.stamp, ...fields })),
    check: async (setup, { change }) => {
      assert.equal(change, 'ok')
      assert.deepEqual(await setup.contents(), ['/e/f x'])
    }
  })
})

test('a put or a move that replaces a file deletes no rival that has been moved away', async () => {
  const rival = sign({ entry: Buffer.alloc(16, 2), ...fileWith('rival', { name: 'f' }) })
  const made = first()
  for (const change of [(setup: Setup) => put(setup, '/f', 'new'), async (setup: Setup) => move(setup, '/g', '/f')])
    await race({
      prepare: async setup => {
        await setup.add(rival, made)
        await put(setup, '/g', 'new')
      },
      change,
      other: setup =>
        setup.add(
          sign({
            ...carrying(rival),
            by: writer,
            ...fileWith('rival', { name: 'away' }),
            hlc: made.record.stamp.hlc + 9n
          })
        ),
      check: async (setup, outcomes) => {
        assert.equal(outcomes.change, 'ok')
        const contents = await setup.contents()
        assert.ok(contents.includes('/f new'), contents.join())
      }
    })
})

test('many puts into a new directory do not wait for one another once it has been made', async () => {
  const setup = await Setup.open()
  const paths = Array.from({ length: 20 }, (_, i) => `/new/file ${i}`)
  let underWay = 0
  let mostAtOnce = 0
  setup.beforeAppend = async () => {
    mostAtOnce = Math.max(mostAtOnce, ++underWay)
    await settle(20)
    underWay--
  }
  await Promise.all(paths.map(path => put(setup, path, path)))
  // One makes the directory. All others are appended together.
  assert.equal(mostAtOnce, paths.length - 1)
  assert.equal((await setup.contents()).length, paths.length)
})

test('an entry whose heads are replaced while it is read is read as it is afterwards, and is not mistaken for damage of the index', async () => {
  const made = first()
  const other = sign({ entry: ENTRY, by: writer, ...fileWith('other', { name: 'f' }) })
  const seen = pastOfAll([made.record, other.record])
  const [one, another] = [made.record.stamp.hlc, other.record.stamp.hlc]
  const hlc = (one > another ? one : another) + 1n
  await race({
    prepare: setup => setup.add(made, other),
    change: setup => setup.at('/f'),
    other: setup => setup.add(sign({ entry: ENTRY, hlc, seen, ...fileWith('last', { name: 'f' }) })),
    check: async (setup, { change }) => {
      assert.equal(change, 'ok')
      assert.deepEqual(await setup.contents(), ['/f last'])
    }
  })
})

test('a change of a name does not affect a file that was renamed, and then written to, before the change read its entry', async () => {
  const rival = sign({ entry: Buffer.alloc(16, 2), ...fileWith('rival', { name: 'f' }) })
  const made = first()
  const away = { by: writer, ...fileWith('important', { name: 'away' }) }
  for (const [change, renamed] of [
    [(setup: Setup) => put(setup, '/f', 'new'), made],
    [(setup: Setup) => remove(setup, '/f'), made],
    [(setup: Setup) => put(setup, '/f', 'new'), rival],
    [(setup: Setup) => move(setup, '/g', '/f'), rival]
  ] as const) {
    const hlc = made.record.stamp.hlc + 9n
    const moved = sign({
      ...carrying(renamed),
      ...fileWith(renamed === made ? 'first' : 'rival', { name: 'away' }),
      by: writer,
      hlc
    })
    const seen = pastOf(moved.record)
    const wrote = sign({
      entry: renamed.record.entry,
      ...away,
      hlc: hlc + 1n,
      seen,
      placed: moved.record.stamp
    })
    await race({
      prepare: async setup => {
        await setup.add(rival, made)
        await put(setup, '/g', 'new')
      },
      change,
      other: setup => setup.add(moved, wrote),
      check: async (setup, outcomes) => {
        const contents = await setup.contents()
        assert.ok(
          contents.some(line => line.startsWith('/away') && line.endsWith(' important')),
          `${outcomes.change}: ${contents.join()}`
        )
      }
    })
  }
})

test('a move does not affect a directory that was renamed before its entry was read', async () => {
  const directory = sign({ entry: ENTRY, ...directoryAt('d') })
  const hlc = directory.record.stamp.hlc + 9n
  const renamed = sign({ ...carrying(directory), ...directoryAt('away'), by: writer, hlc })
  await race({
    prepare: setup => setup.add(directory),
    change: setup => move(setup, '/d', '/e'),
    other: setup => setup.add(renamed),
    check: async (setup, { change }) => {
      const found = (await setup.tree.entry(ENTRY))!
      const saw = found.row.state.heads.every(head =>
        pastOf(head).some(({ author }) => equalBytes(author, writer.publicKey))
      )
      const isOurs = found.row.state.heads.some(({ stamp }) => equalBytes(stamp.author, admin.publicKey))
      assert.ok(
        change === 'not-found' || (isOurs && !saw),
        `${change}: the move has seen a place that it did not check`
      )
    }
  })
})

test('a removal finds a file at its path while records exchange the directory for another one that has such a file', async () => {
  const [old, next] = [Buffer.alloc(16, 2), Buffer.alloc(16, 3)]
  const made = [
    sign({ entry: old, ...directoryAt('d') }),
    sign({ entry: next, ...directoryAt('e') }),
    sign({ entry: ENTRY, ...fileWith('first', { name: 'f', parent: old }) }),
    sign({ entry: Buffer.alloc(16, 4), ...fileWith('second', { name: 'f', parent: next }) })
  ] as const
  const hlc = (i: 0 | 1 | 2) => made[i].record.stamp.hlc + 1n
  await race({
    prepare: setup => setup.add(...made),
    change: setup => remove(setup, '/d/f', { recursive: false }),
    other: setup =>
      setup.add(
        sign({ ...carrying(made[0]), by: writer, hlc: hlc(0), ...directoryAt('x') }),
        sign({ ...carrying(made[1]), by: writer, hlc: hlc(1), ...directoryAt('d') }),
        sign({
          ...carrying(made[2]),
          by: writer,
          hlc: hlc(2),
          body: { ...fileWith('first', { name: 'g' }).body, parent: old }
        })
      ),
    check: async (setup, { change }) => {
      assert.equal(change, 'ok')
      const contents = await setup.contents()
      assert.ok(
        [['/d/f second'], ['/x/g first']].some(one => one.join() === contents.join()),
        contents.join()
      )
    }
  })
})

test('a put makes no second file at its path while records exchange the file for a directory', async () => {
  const made = first()
  await race({
    prepare: setup => setup.add(made),
    change: setup => put(setup, '/f', 'mine'),
    other: setup =>
      setup.add(
        sign({ entry: ENTRY, by: writer, hlc: made.record.stamp.hlc + 1n, op: 'delete', seen: pastOf(made.record) }),
        sign({ entry: Buffer.alloc(16, 2), by: writer, ...directoryAt('f') })
      ),
    check: async (setup, { change }) => {
      assert.ok(change === 'ok' || change === 'is-a-directory', change)
      // If the put came first, the file that was there has the new content.
      assert.deepEqual(await setup.contents(), change === 'ok' ? ['/f (conflict 01010101) mine'] : [])
    }
  })
})
