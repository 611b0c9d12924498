import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Act, apart } from '../../fixtures/apart.ts'

/** Two acts in both orders by the clock, each with what all members show in the end. */
async function bothWays(before: Act, a: Act, b: Act, aThenB: string[], bThenA: string[] = aThenB): Promise<void> {
  assert.deepEqual(await apart(before, a, b), aThenB)
  assert.deepEqual(await apart(before, b, a), bThenA)
}

/** Replaces the digits of conflicts, which are drawn. */
const plain = (lines: readonly string[]): string[] =>
  lines.map(line => line.replace(/conflict ([0-9a-f]{8}|[0-9a-f]{32})(?=\))/g, 'conflict')).sort()

const file: Act = hand => hand.put('/f', 'old')

test('a file that two members moved at the same time is where the later move put it, and nowhere else', async () => {
  await bothWays(
    file,
    hand => hand.move('/f', '/a'),
    hand => hand.move('/f', '/b'),
    ['/b old'],
    ['/a old']
  )
})

test('a move and a write at the same time both hold', async () => {
  await bothWays(
    file,
    hand => hand.move('/f', '/moved'),
    hand => hand.put('/f', 'new'),
    ['/moved new']
  )
})

test('a file that was moved while somebody removed or purged it is gone', async () => {
  for (const purge of [false, true])
    await bothWays(
      file,
      hand => hand.move('/f', '/moved'),
      hand => hand.remove('/f', { purge }),
      []
    )
})

test('a write that the author of a removal or a purge had not seen stays', async () => {
  for (const purge of [false, true])
    await bothWays(
      file,
      hand => hand.put('/f', 'new'),
      hand => hand.remove('/f', { purge }),
      ['/f new']
    )
})

test('a move, a write and a removal of one file at the same time leave the new content where the file was written', async () => {
  const [move, write, remove]: [Act, Act, Act] = [
    hand => hand.move('/f', '/moved'),
    hand => hand.put('/f', 'new'),
    hand => hand.remove('/f')
  ]
  // Nobody removed the write. The move carries what was removed, so it counts no more, and its place neither.
  for (const acts of [
    [move, write, remove],
    [remove, write, move],
    [write, remove, move]
  ])
    assert.deepEqual(await apart(file, ...acts), ['/f new'])
})

test('directories that are moved into each other show, the one that was moved last at `/` as a conflict', async () => {
  const before: Act = async hand => {
    await hand.put('/a/x')
    await hand.put('/b/y')
  }
  const [first, second]: [Act, Act] = [hand => hand.move('/a', '/b/a'), hand => hand.move('/b', '/a/b')]
  const shownFor = (last: string, other: string, [x, y]: string[]): string[] => {
    const top = `/${last} (conflict)`
    return [top, `${top}/${other}`, `${top}/${other}/${x}`, `${top}/${y}`].sort()
  }
  assert.deepEqual(plain(await apart(before, first, second)), shownFor('b', 'a', ['x /a/x', 'y /b/y']))
  assert.deepEqual(plain(await apart(before, second, first)), shownFor('a', 'b', ['y /b/y', 'x /a/x']))
})

test('three directories that three members move into one another show once, below the one that was moved last', async () => {
  const before: Act = async hand => {
    for (const name of ['/a', '/b', '/c']) await hand.mkdir(name)
  }
  const moves: Act[] = [
    hand => hand.move('/a', '/b/a'),
    hand => hand.move('/b', '/c/b'),
    hand => hand.move('/c', '/a/c')
  ]
  assert.deepEqual(plain(await apart(before, ...moves)), ['/c (conflict)', '/c (conflict)/b', '/c (conflict)/b/a'])
})

test('a directory that two members moved is where the later move put it, with everything in it', async () => {
  await bothWays(
    hand => hand.put('/d/e/f', 'old'),
    hand => hand.move('/d', '/one'),
    hand => hand.move('/d', '/two'),
    ['/two', '/two/e', '/two/e/f old'],
    ['/one', '/one/e', '/one/e/f old']
  )
})

test('two files that were put under one name at the same time both show, the later one under the name and the other as a conflict', async () => {
  const shown = async (...acts: Act[]) => plain(await apart(async () => {}, ...acts))
  const [one, two]: [Act, Act] = [hand => hand.put('/f.txt', 'one'), hand => hand.put('/f.txt', 'two')]
  assert.deepEqual(await shown(one, two), ['/f (conflict).txt one', '/f.txt two'])
  assert.deepEqual(await shown(two, one), ['/f (conflict).txt two', '/f.txt one'])
})

test('directories that were made under one name at the same time show as one, and so do files in them', async () => {
  assert.deepEqual(
    plain(
      await apart(
        async () => {},
        async hand => {
          await hand.put('/d/a')
          await hand.put('/d/both', 'one')
        },
        async hand => {
          await hand.put('/d/b')
          await hand.put('/d/both', 'two')
        }
      )
    ),
    ['/d', '/d/a /d/a', '/d/b /d/b', '/d/both (conflict) one', '/d/both two']
  )
})

test('a directory keeps its name from a file that was put there at the same time', async () => {
  const [directory, other]: [Act, Act] = [hand => hand.put('/n/x', 'x'), hand => hand.put('/n', 'file')]
  const expected = ['/n', '/n (conflict) file', '/n/x x']
  assert.deepEqual(plain(await apart(async () => {}, directory, other)), expected)
  assert.deepEqual(plain(await apart(async () => {}, other, directory)), expected)
})

test('files that were moved to one name at the same time both show', async () => {
  const before: Act = async hand => {
    await hand.put('/a')
    await hand.put('/b')
  }
  const shown = await apart(
    before,
    hand => hand.move('/a', '/n'),
    hand => hand.move('/b', '/n')
  )
  assert.deepEqual(plain(shown), ['/n (conflict) /a', '/n /b'])
})

test('a file that is put into a directory while others remove or purge it stays, and nothing else in it does', async () => {
  const before: Act = async hand => {
    await hand.put('/d/old')
    await hand.put('/d/e/old')
  }
  for (const purge of [false, true])
    await bothWays(
      before,
      hand => hand.put('/d/e/new', 'new'),
      hand => hand.remove('/d', { purge }),
      ['/d', '/d/e', '/d/e/new new']
    )
})

test('a file that is moved into a directory while others remove that directory stays in it', async () => {
  const before: Act = async hand => {
    await hand.put('/d/old')
    await hand.put('/f', 'kept')
  }
  await bothWays(
    before,
    hand => hand.move('/f', '/d/f'),
    hand => hand.remove('/d'),
    ['/d', '/d/f kept']
  )
})

test('an entry that is moved out of a directory while others remove the directory is removed, as it was when they did so', async () => {
  const before: Act = hand => hand.put('/d/f', 'old')
  await bothWays(
    before,
    hand => hand.move('/d/f', '/saved'),
    hand => hand.remove('/d'),
    []
  )
})

test('a file follows its directory that others rename while it is put, and a renamed directory can be removed', async () => {
  await bothWays(
    hand => hand.put('/d/old'),
    hand => hand.put('/d/new', 'new'),
    hand => hand.move('/d', '/renamed'),
    ['/renamed', '/renamed/new new', '/renamed/old /d/old']
  )
  await bothWays(
    hand => hand.put('/d/old'),
    hand => hand.remove('/d'),
    hand => hand.move('/d', '/renamed'),
    []
  )
})

test('a file that a move replaces, and that others write to meanwhile, shows beside the one that was moved', async () => {
  const before: Act = async hand => {
    await hand.put('/f', 'old')
    await hand.put('/g', 'moved')
  }
  const [replace, write]: [Act, Act] = [hand => hand.move('/g', '/f'), hand => hand.put('/f', 'new')]
  // The one whose place is newer has the name. A write keeps the place, so that is the file that was moved.
  for (const acts of [
    [replace, write],
    [write, replace]
  ])
    assert.deepEqual(plain(await apart(before, ...acts)), ['/f (conflict) new', '/f moved'])
})

test('a directory that is moved into one that others remove stays there, and so does what is in it', async () => {
  const before: Act = async hand => {
    await hand.put('/from/f', 'kept')
    await hand.put('/to/old')
  }
  await bothWays(
    before,
    hand => hand.move('/from', '/to/from'),
    hand => hand.remove('/to'),
    ['/to', '/to/from', '/to/from/f kept']
  )
})

test('a move into each other while a third member removes both leaves nothing', async () => {
  const before: Act = async hand => {
    await hand.put('/a/x')
    await hand.put('/b/y')
  }
  const shown = await apart(
    before,
    hand => hand.move('/a', '/b/a'),
    hand => hand.move('/b', '/a/b'),
    async hand => {
      await hand.remove('/a')
      await hand.remove('/b')
    }
  )
  assert.deepEqual(shown, [])
})

test('two writes of one file at the same time both show, and writes of the same content are no conflict', async () => {
  const write =
    (text: string): Act =>
    hand =>
      hand.put('/f', text)
  assert.deepEqual(plain(await apart(file, write('one'), write('two'))), ['/f (conflict) one', '/f two'])
  assert.deepEqual(await apart(file, write('same'), write('same')), ['/f same'])
})
