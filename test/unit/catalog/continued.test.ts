import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pastOfAll } from '../../../src/catalog/heads.ts'
import { Past } from '../../../src/catalog/past/past.ts'
import { SEEN_MAX } from '../../../src/format/constants.ts'
import { parsePath } from '../../../src/format/path.ts'
import { hlcAt } from '../../../src/format/stamp.ts'
import { clock, contentOf, fileWith, names, Setup, type Signed, sign } from './setup.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

/** A member that restarts every day, and then writes a file: each time under another incarnation. */
class DailyMember {
  readonly setup: Setup
  readonly #past: Past

  private constructor(setup: Setup) {
    this.setup = setup
    const { index, tree, bodies, log, versions: kept } = setup
    this.#past = new Past({ index, tree, bodies, names, log, kept, nodeCodecs: [0x71] })
  }

  /** Opens a member with a file at `/f` that it has written so often that its past is full. */
  static async open(): Promise<DailyMember> {
    const member = new DailyMember(await Setup.open())
    const all: Signed[] = []
    for (let day = 0; day <= SEEN_MAX; day++) {
      const incarnation = Buffer.alloc(8)
      incarnation.writeUInt32BE(day + 1)
      const seen = pastOfAll(all.slice(-1).map(({ record }) => record))
      const hlc = hlcAt(member.setup.clock.now())
      all.push(sign({ entry: Buffer.alloc(16, 1), hlc, incarnation, seen, ...fileWith(`day ${day}`, { name: 'f' }) }))
      await member.setup.add(all.at(-1) as Signed)
      await member.pass(DAY)
    }
    return member
  }

  async pass(ms: number): Promise<void> {
    for (const passing of [clock, this.setup.clock]) passing.advance(ms)
    await this.setup.retention.look()
  }

  async put(text: string): Promise<void> {
    await this.setup.catalog.link(parsePath('/f'), contentOf(text), { replicas: 1 })
    await this.setup.retention.look()
  }

  /** Returns the content of each version that is kept, and of each delete, the latest first. */
  async history(path: string): Promise<string[]> {
    const place = await this.#past.tree.place(parsePath(path))
    const texts: string[] = []
    for await (const { isDropped, isDelete, body } of this.#past.versions.list(place!))
      if (!isDropped) texts.push(isDelete ? 'deleted' : Buffer.from(body?.content ?? []).toString())
    return texts
  }
}

test('a file that goes on under a new id keeps one line of versions, also when its first versions there are forgotten', async () => {
  const member = await DailyMember.open()
  const { setup } = member
  const ofDay = (day: number): string => `day ${day}`
  const before = await member.history('/f')
  assert.deepEqual(before.slice(0, 3), [ofDay(SEEN_MAX), ofDay(SEEN_MAX - 1), ofDay(SEEN_MAX - 2)])
  const id = await idAt(setup)
  for (let i = 0; i < 15; i++) {
    await member.put(`again ${i}`)
    await member.pass(MINUTE)
  }
  assert.notDeepEqual(await idAt(setup), id)
  const again = Array.from({ length: 11 }, (_, i) => `again ${14 - i}`)
  assert.deepEqual((await member.history('/f')).slice(0, 13), [...again, ofDay(SEEN_MAX), ofDay(SEEN_MAX - 1)])
  await setup.catalog.move(parsePath('/f'), parsePath('/g'), { replicas: 1 })
  assert.deepEqual((await member.history('/g')).slice(0, 12), [...again, ofDay(SEEN_MAX)])
  await setup.catalog.remove(parsePath('/g'), {})
  assert.deepEqual((await member.history('/g')).slice(0, 13), ['deleted', ...again, ofDay(SEEN_MAX)])
})

async function idAt(setup: Setup): Promise<Uint8Array | undefined> {
  const node = await setup.at('/f')
  return node?.kind === 'file' ? node.id : undefined
}
