import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { DiskError, FileMissingError } from '../../src/disk/errors.ts'
import { type Files, replaceFile } from '../../src/disk/files.ts'

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8')
const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8')

/** The contract of the Files port, except for the parts that only a crash can test. */
export function testFiles(name: string, make: (t: TestContext) => Promise<Files>): void {
  const check = (what: string, work: (files: Files) => Promise<void>): void => {
    test(`${name}: ${what}`, async t => work(await make(t)))
  }

  check('makes folders with their parents, and does no harm the second time', async files => {
    await files.makeDirectory('a/b/c')
    await files.makeDirectory('a/b/c')
    await files.makeDirectory('')
    assert.deepEqual(await files.list('a'), ['b'])
    assert.deepEqual(await files.list('a/b/c'), [])
    await files.writeNew('a/file', [])
    assert.deepEqual((await files.list('a')).sort(), ['b', 'file'])
    assert.deepEqual(await files.list(''), ['a'])
    assert.deepEqual(await files.list('nowhere/at/all'), [])
    await assert.rejects(files.list('a/file'), DiskError)
    await assert.rejects(files.makeDirectory('a/file/b'), DiskError)
  })

  check('writes the parts into a new file, and refuses to write an existing one', async files => {
    await files.makeDirectory('d')
    await files.writeNew('d/f', [bytes('one '), bytes(''), bytes('two')])
    assert.equal(text(await files.read('d/f')), 'one two')
    assert.equal(await files.size('d/f'), 7)
    await assert.rejects(files.writeNew('d/f', [bytes('three')]), DiskError)
    assert.equal(text(await files.read('d/f')), 'one two')
    await files.writeNew('d/empty', [])
    assert.equal(await files.size('d/empty'), 0)
    assert.equal((await files.read('d/empty')).byteLength, 0)
    await assert.rejects(files.writeNew('nowhere/f', [bytes('x')]), FileMissingError)
  })

  check('reads large files of any length, written in parts of any length', async files => {
    await files.makeDirectory('d')
    const lengths = [65_536, 65_537, 1_048_576, 1_048_628, 1_052_672, 1_052_673, 4_194_368]
    for (const length of lengths) {
      const whole = randomBytes(length)
      const parts: Uint8Array[] = []
      for (let at = 0, step = 1; at < length; at += step, step = step * 7 + 1) parts.push(whole.subarray(at, at + step))
      await files.writeNew(`d/${length}`, parts)
      assert.equal(await files.size(`d/${length}`), length)
      assert.ok((await files.read(`d/${length}`)).every((byte, i) => byte === whole[i]))
    }
  })

  check('leaves buffers to the caller, those that it wrote and those that it returned', async files => {
    for (const [name, length] of [
      ['small', 10],
      ['large', 100_000]
    ] as const) {
      const mine = Buffer.alloc(length, 1)
      await files.writeNew(name, [mine])
      mine.fill(2)
      const read = await files.read(name)
      assert.equal(read[length - 1], 1)
      read.fill(3)
      assert.equal((await files.read(name))[length - 1], 1)
    }
  })

  check('tells a missing file from an empty one', async files => {
    assert.equal(await files.size('f'), undefined)
    assert.equal(await files.size('no/f'), undefined)
    await files.makeDirectory('d')
    assert.equal(await files.size('d'), undefined)
    await assert.rejects(files.read('f'), FileMissingError)
    await assert.rejects(files.openRead('f'), FileMissingError)
    await assert.rejects(files.openAppend('no/f'), FileMissingError)
    await assert.rejects(files.rename('f', 'g'), FileMissingError)
    await assert.rejects(files.syncDirectory('no'), FileMissingError)
    await files.remove('f')
    await files.remove('no/f')
    await files.removeDirectory('no')
  })

  check('overwrites bytes in place, and nothing else of the file', async files => {
    await files.writeNew('f', [bytes('0123456789')])
    const file = await files.openRead('f')
    await files.overwrite('f', [
      { offset: 8, bytes: bytes('xy') },
      { offset: 1, bytes: bytes('ab') }
    ])
    assert.equal(text(await files.read('f')), '0ab34567xy')
    assert.equal(text(await file.read(0, 10)), '0ab34567xy')
    await file.close()
    const appended = await files.openAppend('f')
    await appended.append([bytes('!')])
    await files.overwrite('f', [{ offset: 0, bytes: bytes('>') }])
    await appended.append([bytes('?')])
    await appended.close()
    assert.equal(text(await files.read('f')), '>ab34567xy!?')
    await assert.rejects(files.overwrite('none', [{ offset: 0, bytes: bytes('x') }]), FileMissingError)
  })

  check('replaces the target of a rename', async files => {
    await files.makeDirectory('a')
    await files.makeDirectory('b')
    await files.writeNew('a/new', [bytes('new')])
    await files.writeNew('b/old', [bytes('old')])
    await files.rename('a/new', 'b/old')
    assert.equal(text(await files.read('b/old')), 'new')
    assert.deepEqual(await files.list('a'), [])
    await files.syncDirectory('a')
    await files.syncDirectory('b')
    await files.syncDirectory('')
  })

  check('removes files and whole folders', async files => {
    await files.makeDirectory('a/b')
    await files.writeNew('a/f', [bytes('x')])
    await files.writeNew('a/b/g', [bytes('x')])
    await files.remove('a/f')
    assert.deepEqual(await files.list('a'), ['b'])
    await files.removeDirectory('a')
    assert.deepEqual(await files.list(''), [])
    await files.makeDirectory('a')
    assert.deepEqual(await files.list('a'), [])
  })

  check('reads a file at any offset, and returns fewer bytes where it ends', async files => {
    await files.writeNew('f', [bytes('0123456789')])
    const file = await files.openRead('f')
    assert.equal(text(await file.read(0, 10)), '0123456789')
    assert.equal(text(await file.read(3, 4)), '3456')
    assert.equal(text(await file.read(8, 100)), '89')
    assert.equal(text(await file.read(10, 5)), '')
    assert.equal(text(await file.read(1000, 5)), '')
    assert.equal(text(await file.read(2, 0)), '')
    await file.close()
  })

  check('reads an open file on after it was removed or replaced', async files => {
    await files.writeNew('f', [bytes('first')])
    await files.writeNew('g', [bytes('second')])
    const [f, g] = [await files.openRead('f'), await files.openRead('g')]
    await files.remove('f')
    await files.rename('g', 'h')
    await files.writeNew('f', [bytes('other')])
    assert.equal(text(await f.read(0, 9)), 'first')
    assert.equal(text(await g.read(0, 9)), 'second')
    await f.close()
    await g.close()
  })

  check('appends bytes one after another, also after the file was closed', async files => {
    const first = await files.openAppend('f')
    assert.equal(first.size, 0)
    await first.append([bytes('one ')])
    await first.append([bytes('')])
    await first.append([bytes('two ')])
    assert.equal(first.size, 8)
    await first.sync()
    await first.close()
    const second = await files.openAppend('f')
    assert.equal(second.size, 8)
    const reader = await files.openRead('f')
    await second.append([bytes('three')])
    assert.equal(text(await reader.read(0, 100)), 'one two three')
    await reader.close()
    await second.close()
    assert.equal(text(await files.read('f')), 'one two three')
  })

  check('appends and reads past the page cache what it would append and read through it', async files => {
    const hints = { isPastCache: true }
    const file = await files.openAppend('f', hints)
    const pieces = [4_096, 8_192, 1_064_960, 3 * 1_056_768, 100].map(length => randomBytes(length))
    for (const piece of pieces) {
      const parts: Uint8Array[] = []
      for (let at = 0, step = 1; at < piece.byteLength; at += step, step = step * 5 + 1)
        parts.push(piece.subarray(at, at + step))
      await file.append(parts)
    }
    await file.sync()
    const whole = Buffer.concat(pieces)
    assert.equal(file.size, whole.byteLength)
    const reader = await files.openRead('f', hints)
    const ranges = [
      [0, 4_096],
      [13, 70_000],
      [13, 70_000],
      [4_097, 2_500_000],
      [whole.byteLength - 80_000, 200_000],
      [whole.byteLength, 70_000]
    ] as const
    const read = await Promise.all(ranges.map(([offset, length]) => reader.read(offset, length)))
    for (const [i, [offset, length]] of ranges.entries())
      assert.ok(
        Buffer.from(read[i] as Uint8Array).equals(whole.subarray(offset, offset + length)),
        `${offset} ${length}`
      )
    await file.truncate(8_192)
    await file.append([randomBytes(4_096)])
    assert.equal((await files.read('f')).byteLength, 12_288)
    await reader.close()
    await file.close()
  })

  check('cuts a file, and appends the next bytes at the cut', async files => {
    const file = await files.openAppend('f')
    await file.append([bytes('one two three')])
    await file.truncate(4)
    assert.equal(file.size, 4)
    await file.append([bytes('four')])
    await file.sync()
    assert.equal(file.size, 8)
    await file.close()
    assert.equal(text(await files.read('f')), 'one four')
  })

  check('replaces a small file as a whole, even if a crash left a temporary file', async files => {
    await files.makeDirectory('d')
    await files.writeNew('d/f.new', [bytes('half a fi')])
    await replaceFile(files, 'd/f', bytes('one'))
    await replaceFile(files, 'd/f', bytes('two'))
    await replaceFile(files, 'top', bytes('three'))
    assert.equal(text(await files.read('d/f')), 'two')
    assert.equal(text(await files.read('top')), 'three')
    assert.deepEqual(await files.list('d'), ['f'])
  })

  check('returns how much space there is', async files => {
    const { totalBytes, freeBytes } = await files.space()
    assert.ok(Number.isSafeInteger(totalBytes) && freeBytes >= 0 && freeBytes <= totalBytes)
    assert.equal(typeof files.namesAreDurable, 'boolean')
  })
}
