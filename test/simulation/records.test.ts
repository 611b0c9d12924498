import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Log } from '../../src/log/log.ts'
import { fromHex } from '../../src/util/bytes.ts'
import { History } from './history/history.ts'
import type { Machine } from './whole/machine.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const DAY = 24 * 60 * MINUTE
/** A put is in the index of another machine after fewer operations of its disk. */
const OPERATIONS = 12

test('whenever a machine is killed while a put reaches it, and however long it is off then, the judge and the machine agree on when the put did', async () => {
  const history = new History({ seed: 1, machines: 3 })
  const { world, records } = history
  const [writer, killed] = world.machines as [Machine, Machine]
  const pass = async (ms: number): Promise<void> => {
    history.watch()
    await world.time.pass(ms)
    history.watch()
    world.check()
  }
  world.time.install()
  try {
    const epochMs = killed.process.now() - world.time.calendarMs
    for (const machine of world.machines) await world.start(machine)
    await pass(5 * SECOND)
    let foundAtStart = 0
    for (let operations = 0; operations < OPERATIONS; operations++) {
      let left = operations
      killed.disk.onOperation = () => {
        if (left-- === 0) killed.kill()
      }
      const before = new Set(records.all.keys())
      await history.put(writer, `/${operations}`, await world.contents.make(300), { replicas: 'all' })
      await pass(SECOND)
      killed.disk.onOperation = () => {}
      if (!killed.process.isDead) killed.kill()
      const [id] = [...records.all.keys()].filter(id => !before.has(id)) as [string]
      const wasHeard = records.knownTo(killed.name).has(id)
      world.time.sleep(12 * DAY)
      const backMs = world.time.calendarMs
      await world.start(killed)
      await pass(30 * SECOND)
      const log = killed.stack?.log as unknown as Log
      const noted = await world.glance(killed, async () => (await log.get(fromHex(id)))?.arrivedAtMs)
      const notedMs = (noted as number) - epochMs
      const heardMs = records.knownTo(killed.name).get(id) as number
      assert.ok(Math.abs(heardMs - notedMs) < MINUTE, `killed after ${operations}: heard ${heardMs}, noted ${notedMs}`)
      if (!wasHeard && notedMs < backMs) foundAtStart++
    }
    assert.ok(foundAtStart > 0, 'some were written, and projected only at the next start')
  } finally {
    for (const machine of world.machines) machine.process.kill()
    world.time.uninstall()
  }
})
