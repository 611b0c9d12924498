import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CLOCK_STANDS_MS } from '../../../src/util/steady-clock.ts'
import { entryBy, TestMember } from '../../fixtures/member.ts'
import { MINUTE, Setup } from './setup.ts'

const DAY = 24 * 60 * MINUTE

test('a statement that arrives while the clock is behind counts as arrived with the last one, also after a restart', async t => {
  const setup = new Setup(t)
  const { clock, chance } = setup
  const secrets = setup.admin('a')
  const a = await setup.member('a', { secrets })
  const arrive = async ({ log, self }: TestMember): Promise<number> => {
    const entry = entryBy(self, chance)
    await log.append([entry], self.signer)
    return (await log.get(entry.id))!.arrivedAtMs
  }
  clock.advance(100 * DAY)
  const first = await arrive(a)
  assert.equal(first, clock.now())
  clock.jump(-90 * DAY)
  assert.equal(await arrive(a), first)
  await a.stop()
  const { files, database } = a
  const host = setup.network.host('a', a.peer)
  const again = await TestMember.open({ secrets, host, clock, chance, files, database })
  t.after(() => again.store.close())
  assert.equal(await arrive(again), first)
  clock.jump(90 * DAY)
  clock.advance(MINUTE)
  assert.equal(await arrive(again), clock.now())
})

test('a clock that was ahead does not decide for long when statements have arrived', async t => {
  const setup = new Setup(t)
  const { clock, chance } = setup
  const a = await setup.member('a')
  const arrive = async (): Promise<number> => {
    const entry = entryBy(a.self, chance)
    await a.log.append([entry], a.self.signer)
    return (await a.log.get(entry.id))!.arrivedAtMs
  }
  clock.jump(365 * DAY)
  const ahead = await arrive()
  clock.jump(-365 * DAY)
  assert.equal(await arrive(), ahead)
  clock.advance(CLOCK_STANDS_MS)
  assert.equal(await arrive(), clock.now())
})
