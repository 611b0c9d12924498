import assert from 'node:assert/strict'
import { test } from 'node:test'
import { idOf, type Statement } from '../../../src/format/statement.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { RecordingLogger } from '../../fixtures/logger.ts'
import { timePassesUntil } from '../../fixtures/pass-time.ts'
import { MINUTE, Setup, SOON } from './setup.ts'

const short = (statement: Statement): string => idOf(statement).slice(0, 8)

test('the message log tells how a comparison went, and why a statement was refused', async t => {
  const setup = new Setup(t)
  const secrets = ['b', 'c'].map(name => setup.admin(name))
  const late = new ManualClock(setup.clock.now())
  setup.clock.advance(6 * MINUTE)
  const b = await setup.member('b', { secrets: secrets[0]! })
  const [entry] = await b.write(setup.chance)
  const logger = new RecordingLogger()
  await setup.member('c', { secrets: secrets[1]!, bootstrap: ['b'], clock: late, logger })
  const isCompared = (): boolean => logger.lines.includes(`dfs:log:sync:trace compared with ${b.peer}: whole`)
  await timePassesUntil(late, 'compared', isCompared, SOON)
  for (const line of [
    `dfs:log:sync:trace comparing with ${b.peer}`,
    `dfs:log keeps entry ${short(entry!)} from ${b.peer}, which is stamped too far ahead, until its time has come`,
    `dfs:log:sync other statements of ${b.peer}: 1 listed, 1 lacking here, 1 fetched (1 waiting)`,
    `dfs:log:sync:trace compared with ${b.peer}: whole`
  ])
    assert.ok(logger.lines.includes(line), `${line}\nis not among\n${logger.lines.join('\n')}`)
})

test('the message log tells what became of a push, and that a failed one is tried again', async t => {
  const setup = new Setup(t)
  const [ofA, ofB] = [new RecordingLogger(), new RecordingLogger()]
  const a = await setup.member('a', { logger: ofA })
  const b = await setup.member('b', { bootstrap: ['a'], logger: ofB })
  await timePassesUntil(setup.clock, 'compared', () => a.members.compared.size === 1 && b.members.compared.size === 1)
  const [taken, failed] = await a.write(setup.chance, 2)
  await a.sync.push(b.peer, taken!)
  assert.ok(ofB.lines.includes(`dfs:log accepted entry ${short(taken!)} from ${a.peer}`))
  assert.ok(ofA.lines.includes(`dfs:log:sync pushed entry ${short(taken!)} to ${b.peer}: ok`))
  b.store.write = async () => {
    throw new Error('the disk is full')
  }
  await assert.rejects(a.sync.push(b.peer, failed!))
  assert.ok(ofA.lines.some(line => line.startsWith(`dfs:log:sync a push to ${b.peer} failed, statements: 1 (`)))
  assert.ok(ofA.lines.some(line => line.startsWith(`dfs:log:outbox ${b.peer} is behind: `)))
})
