import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openFormat } from '../../../src/disk/data-directory.ts'
import { UnknownLayoutError } from '../../../src/disk/errors.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { FakeFiles } from '../../fixtures/fake-files.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const withFormat = async (text: string): Promise<FakeFiles> => {
  const files = new FakeFiles()
  await files.writeNew('format.json', [Buffer.from(text)])
  return files
}

test('openFormat writes a format file into an empty directory, and the store id stays', async () => {
  const files = new FakeFiles()
  const { storeId, isNew } = await openFormat(files, seededChance(1), silentLogger)
  assert.equal(storeId.byteLength, 16)
  assert.ok(isNew)
  assert.equal((await openFormat(files, seededChance(2), silentLogger)).isNew, false)
  const text = Buffer.from(await files.read('format.json')).toString()
  assert.match(text, new RegExp(`^\\{"layout":3,"storeId":"${toHex(storeId)}","capacity":[0-9]+\\}\n$`))
  assert.equal(toHex((await openFormat(files, seededChance(2), silentLogger)).storeId), toHex(storeId))
  assert.equal(toHex((await openFormat(files.crash(), seededChance(2), silentLogger)).storeId), toHex(storeId))
  assert.notEqual(toHex((await openFormat(new FakeFiles(), seededChance(2), silentLogger)).storeId), toHex(storeId))
})

test('the capacity is what is free at the first start, less 5 % of the disk, and stays', async () => {
  const GB = 10 ** 9
  const files = new FakeFiles({ totalBytes: 239 * GB, othersBytes: 171 * GB })
  const { capacityBytes } = await openFormat(files, seededChance(1), silentLogger)
  assert.equal(capacityBytes, (239 - 171 - 0.05 * 239) * GB)
  // It does not change when other files fill the disk later.
  await files.writeNew('other', [Buffer.alloc(1_000)])
  assert.equal((await openFormat(files, seededChance(1), silentLogger)).capacityBytes, capacityBytes)
})

test('a disk that is nearly full at the first start, and a directory of an earlier version, have no measured capacity', async () => {
  const files = new FakeFiles({ totalBytes: 10 ** 9, othersBytes: 0.96 * 10 ** 9 })
  assert.equal((await openFormat(files, seededChance(1), silentLogger)).capacityBytes, undefined)
  const earlier = await withFormat(`{"layout":3,"storeId":"${'a'.repeat(32)}"}`)
  assert.equal((await openFormat(earlier, seededChance(1), silentLogger)).capacityBytes, undefined)
})

test('the error for another layout names the layout and says what to do', async () => {
  for (const [layout, advice] of [
    [2, /layout 2.*only knows 3.*use the release that wrote it/],
    [4, /layout 4.*only knows 3.*upgrade/]
  ] as const) {
    const files = await withFormat(`{"layout":${layout},"somethingElse":true}`)
    await assert.rejects(openFormat(files, seededChance(1), silentLogger), error => {
      assert.ok(error instanceof UnknownLayoutError)
      assert.match(error.message, advice)
      return true
    })
  }
})

test('openFormat does not overwrite a damaged format file', async () => {
  for (const text of [
    '',
    'garbage',
    '{}',
    '[]',
    'null',
    '{"layout":1}',
    '{"layout":"1","storeId":"x"}',
    `{"layout":3,"storeId":"${'a'.repeat(31)}"}`,
    `{"layout":3,"storeId":"${'a'.repeat(32)}","more":1}`
  ]) {
    const files = await withFormat(text)
    await assert.rejects(openFormat(files, seededChance(1), silentLogger), UnknownLayoutError, text)
    assert.equal(Buffer.from(await files.read('format.json')).toString(), text)
  }
})

test('openFormat refuses segments without a format file', async () => {
  const files = new FakeFiles()
  await files.makeDirectory('segments')
  await files.writeNew('segments/00000001.seg', [Buffer.from('rows')])
  await assert.rejects(openFormat(files, seededChance(1), silentLogger), /lost its format file/)
})
