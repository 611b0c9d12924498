import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { DfsNode, SettingItem, SettingValue } from '../../src/index.ts'
import { codeOfRejection, startNode, startNodes, until } from '../fixtures/nodes.ts'

async function valuesOf(node: DfsNode): Promise<Array<SettingItem['value']>> {
  return (await node.settings()).map(({ value }) => value)
}

test('a setting that an admin changes holds for every member, and puts follow it', async t => {
  const [a, b] = (await startNodes(t, 2)) as [DfsNode, DfsNode]
  assert.deepEqual(await a.settings(), [
    { key: 'replicas', value: 3, default: true, setBy: null, setAt: null },
    { key: 'ack', value: null, default: true, setBy: null, setAt: null },
    { key: 'chunker', value: 'fixed', default: true, setBy: null, setAt: null },
    { key: 'outAfter', value: 600_000, default: true, setBy: null, setAt: null },
    { key: 'versionDays', value: 30, default: true, setBy: null, setAt: null },
    { key: 'quotaStatements', value: 10_000_000, default: true, setBy: null, setAt: null },
    { key: 'quotaBytes', value: 16 * 2 ** 30, default: true, setBy: null, setAt: null }
  ])
  const set = await a.setSetting('versionDays', 90)
  assert.deepEqual([set.value, set.default, set.setBy], [90, false, { peerId: a.peerId, name: a.name }])
  await a.setSetting('outAfter', 1_200_000)
  await until('the other has both', async () => (await valuesOf(b)).join().startsWith('3,,fixed,1200000,90,'))
  await until('each counts on the other', async () => (await b.put('/first', randomBytes(1))).wanted === 2)
  await a.setSetting('replicas', 1)
  await until('the other has it', async () => (await valuesOf(b))[0] === 1)
  assert.equal((await b.put('/one', randomBytes(5_000))).wanted, 1)
  await b.setSetting('replicas', 'all')
  assert.equal((await b.put('/all', randomBytes(5_000))).wanted, 2)
  assert.equal((await b.settings())[0]?.value, 'all')
})

test('an admin takes each setting back, and the default counts again for every member', async t => {
  const [a, b] = (await startNodes(t, 2)) as [DfsNode, DfsNode]
  const before = await a.settings()
  const values: Array<[key: string, value: SettingValue]> = [
    ['replicas', 5],
    ['ack', 4],
    ['chunker', 'fastcdc'],
    ['outAfter', 1_200_000],
    ['versionDays', 90],
    ['quotaStatements', 20_000_000],
    ['quotaBytes', 2 ** 35]
  ]
  for (const [key, value] of values) await a.setSetting(key, value)
  await until('the other has all', async () => (await valuesOf(b)).join() === values.map(([, v]) => v).join())
  await assert.rejects(b.setSetting('replicas', 'default'), /set ack first/)
  // Each of the two quotas is taken back alone.
  assert.deepEqual((await b.setSetting('quotaStatements', 'default')).default, true)
  await until('the first has it', async () => (await valuesOf(a))[5] === 10_000_000)
  assert.equal((await valuesOf(a))[6], 2 ** 35)
  for (const [key] of values.toReversed()) assert.equal((await a.setSetting(key, 'default')).default, true, key)
  assert.deepEqual(await a.settings(), before)
  await until('the other has the defaults', async () => (await b.settings()).every(item => item.default))
})

test('a setting that does not exist, is not built or is out of bounds is refused in words, and so is a writer', async t => {
  const { node } = await startNode(t)
  const cases: Array<[key: string, value: SettingValue, code: string, words: RegExp]> = [
    [
      'colour',
      1,
      'invalid',
      /no such setting: the settings are replicas, ack, chunker, outAfter, versionDays, quotaStatements, quotaBytes/
    ],
    ['dedupe', 1, 'unsupported', /not built yet/],
    ['chunker', 1, 'invalid', /one of fixed, fastcdc/],
    ['chunker', 'all', 'invalid', /one of fixed, fastcdc/],
    ['replicas', 'fastcdc', 'invalid', /a number from 1 to 255, or "all"/],
    ['replicas', 0, 'invalid', /a number from 1 to 255, or "all"/],
    ['replicas', 256, 'invalid', /a number from 1 to 255/],
    ['versionDays', 'all', 'invalid', /days from 0 to 36,500/],
    ['versionDays', 1.5, 'invalid', /days from 0 to 36,500/],
    ['versionDays', Number.NaN, 'invalid', /days from 0/],
    ['outAfter', 999, 'invalid', /from 1 second to 30 days/],
    ['ack', 4, 'invalid', /more copies than are made: set replicas first/]
  ]
  for (const [key, value, code, words] of cases) {
    assert.equal(await codeOfRejection(node.setSetting(key, value)), code, `${key} ${value}`)
    await assert.rejects(node.setSetting(key, value), words)
  }
  await node.setSetting('ack', 3)
  await assert.rejects(node.setSetting('replicas', 2), /set ack first/)
  const { token } = await node.invite()
  const { node: writer } = await startNode(t, { join: token })
  await until('it is a member', async () => (await writer.settings())[1]?.value === 3)
  await assert.rejects(writer.setSetting('versionDays', 1), /only an admin changes settings: this machine is a writer/)
  // What an admin should do first is no advice for others.
  await assert.rejects(writer.setSetting('replicas', 2), /only an admin changes settings/)
})
