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
  assert.equal(Buffer.from(await files.read('format.json')).toString(), `{"layout":1,"storeId":"${toHex(storeId)}"}\n`)
  assert.equal(toHex((await openFormat(files, seededChance(2), silentLogger)).storeId), toHex(storeId))
  assert.equal(toHex((await openFormat(files.crash(), seededChance(2), silentLogger)).storeId), toHex(storeId))
  assert.notEqual(toHex((await openFormat(new FakeFiles(), seededChance(2), silentLogger)).storeId), toHex(storeId))
})

test('the error for another layout names the layout and says what to do', async () => {
  const later = await withFormat('{"layout":2,"somethingElse":true}')
  await assert.rejects(openFormat(later, seededChance(1), silentLogger), error => {
    assert.ok(error instanceof UnknownLayoutError)
    assert.match(error.message, /layout 2.*upgrade/)
    return true
  })
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
    `{"layout":1,"storeId":"${'a'.repeat(31)}"}`,
    `{"layout":1,"storeId":"${'a'.repeat(32)}","more":1}`
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
