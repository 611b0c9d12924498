import assert from 'node:assert/strict'
import { test } from 'node:test'
import { walkManifest } from '../../src/blocks/manifest-walk.ts'
import type { RecordRef } from '../../src/blocks/record-ref.ts'
import { type BlockCid, blockKey } from '../../src/format/cid.ts'
import { defaultNodeCodec } from '../../src/format/manifest.ts'
import { toHex } from '../../src/util/bytes.ts'
import { BlockCluster, type BlockMember } from '../fixtures/block-cluster.ts'
import { ManualClock } from '../fixtures/clock.ts'
import { settle } from '../fixtures/pass-time.ts'
import { seededChance } from '../fixtures/seeded-chance.ts'

const MEMBERS = 4
const STEPS = 40
const MINUTE = 60_000
const COPIES = [1, 2, 3, Number.POSITIVE_INFINITY]
const SEEDS = process.env['DFS_LONG'] === '1' ? 200 : 8

/** A file whose put succeeded. */
interface Stored {
  record: RecordRef
  reached: number
}

/**
 * Some members put, evict, lose each other, are killed and lose power, in an order that a seed draws. At every moment each
 * chunk of each file whose put succeeded is on some disk. At the end, when all members can reach each other, every owner
 * has what it owes, and no disk has a block that no record needs.
 */
class Run {
  readonly #clock = new ManualClock()
  readonly #fraction: () => number
  readonly #chance
  readonly #stored: Stored[] = []
  readonly #underWay = new Set<Promise<void>>()
  readonly log: string[] = []
  cluster!: BlockCluster

  constructor(seed: number) {
    this.#chance = seededChance(seed)
    this.#fraction = () => this.#chance.fraction()
  }

  async run(): Promise<void> {
    this.cluster = await BlockCluster.start(this.#clock, MEMBERS)
    for (let step = 0; step < STEPS; step++) {
      await this.#step()
      await this.#nothingIsLost()
    }
    await this.#comeToRest()
    await this.#nothingIsLost()
    await this.#everyOwnerHasIts()
    await this.#nothingIsLeftOver()
    for (const { errors } of this.cluster.members) assert.deepEqual(errors, [])
    await this.cluster.stop()
  }

  async #step(): Promise<void> {
    const member = this.#pick(this.cluster.members)
    const draw = this.#fraction()
    if (draw < 0.4) this.#put(member)
    else if (draw < 0.55) this.#evict(member)
    else if (draw < 0.65) this.#note(member, 'isolated', () => this.cluster.isolate(member))
    else if (draw < 0.78) await this.#noted(member, 'healed', () => this.#heal(member))
    else if (draw < 0.84) await this.#noted(member, 'restarted', () => member.restart())
    else if (draw < 0.92) await this.#noted(member, 'killed', () => member.restart({ crash: true }))
    else await this.#noted(member, 'power cut', () => member.restart({ powerCut: Math.floor(this.#fraction() * 8) }))
    await this.#pass(this.#fraction() < 0.2 ? 30 * MINUTE * this.#fraction() : 2_000)
  }

  #put(member: BlockMember): void {
    // Some contents are put again, under other records.
    const content = Math.floor(this.#fraction() * 12)
    const chunks = 1 + (content % 4)
    const chunkBytes = content % 3 === 0 ? 64 << 10 : 2_000
    const bytes = seededChance(content + 1_000).bytes(chunks * chunkBytes - 50)
    const replicas = this.#pick(COPIES)
    const breaksOff = this.#fraction() < 0.15
    this.log.push(
      `${member.peer.slice(-4)} puts content ${content}, ${replicas} copies${breaksOff ? ', breaks off' : ''}`
    )
    async function* source() {
      yield bytes
      if (breaksOff) throw new Error('broke off')
    }
    this.#background(async () => {
      const { record, outcome } = await member.put(source(), { replicas, chunkBytes })
      this.#stored.push({ record, reached: outcome.reached.length })
    })
  }

  #evict(member: BlockMember): void {
    if (this.#stored.length === 0) return
    const { record } = this.#pick(this.#stored)
    this.log.push(`${member.peer.slice(-4)} evicts ${toHex(record.id).slice(0, 6)}`)
    this.#background(async () => {
      await member.blocks.freeing.evict(record)
    })
  }

  // As in a real network, a member that comes back learns of the records that it missed.
  async #heal(member: BlockMember): Promise<void> {
    await this.cluster.heal(member)
    for (const a of this.cluster.members)
      for (const b of this.cluster.members)
        if (a.host.isConnected(b.peer)) for (const record of a.standing) await b.stand(record)
  }

  /** Work may fail on a member that is killed or cut off. That is no fault. */
  #background(work: () => Promise<void>): void {
    const running = work().catch(error => {
      this.log.push(`  ${(error as Error).name}: ${(error as Error).message}`)
    })
    this.#underWay.add(running)
    void running.finally(() => this.#underWay.delete(running))
  }

  async #nothingIsLost(): Promise<void> {
    for (const { record } of this.#stored)
      for (const { cid } of await this.#blocksOf(record)) {
        const holders = await this.#holders(cid)
        assert.ok(holders.length > 0, 'a block of a file whose put succeeded is on no disk')
      }
  }

  async #everyOwnerHasIts(): Promise<void> {
    for (const member of this.cluster.members) assert.equal(member.blocks.owed.blocks, 0, `${member.peer} owes`)
    for (const record of this.cluster.members.flatMap(({ standing }) => standing)) {
      for (const { cid, chunkIndex } of await this.#blocksOf(record)) {
        const owners = chunkIndex === null ? this.cluster.members : this.cluster.owners(cid, record.replicas)
        for (const owner of owners) assert.ok(await owner.holds(cid), 'an owner does not have what it owes')
      }
    }
  }

  async #nothingIsLeftOver(): Promise<void> {
    const needed = new Set<string>()
    for (const record of this.cluster.members.flatMap(({ standing }) => standing))
      for (const { cid } of await this.#blocksOf(record)) needed.add(blockKey(cid))
    for (const { blockstore } of this.cluster.members)
      for await (const { multihash } of blockstore.all())
        assert.ok(needed.has(toHex(multihash)), 'a block that nothing needs is still here')
  }

  async #comeToRest(): Promise<void> {
    for (const member of this.cluster.members) await this.#heal(member)
    // Long enough for claims to run out, for evicted chunks to be owed again, and for slow retries.
    for (let i = 0; i < 60; i++) await this.#pass(4 * MINUTE)
    // After an unclean stop, a block that nothing claims stays for more than a day.
    for (let i = 0; i < 6; i++) await this.#pass(4 * 60 * MINUTE)
    assert.equal(this.#underWay.size, 0, 'something never ended')
    for (const member of this.cluster.members) member.blocks.retry()
    await this.#pass(2 * MINUTE)
  }

  async #pass(ms: number): Promise<void> {
    const step = Math.max(500, ms / 8)
    for (let passed = 0; passed < ms; passed += step) {
      this.#clock.advance(step)
      await settle(25)
    }
  }

  async #blocksOf({ root }: RecordRef): Promise<Array<{ cid: BlockCid; chunkIndex: number | null }>> {
    const blocks = []
    const read = async (cid: BlockCid): Promise<Uint8Array> => {
      for (const { blockstore } of await this.#holders(cid)) for await (const bytes of blockstore.get(cid)) return bytes
      throw new assert.AssertionError({ message: 'a manifest node is on no disk' })
    }
    for await (const block of walkManifest(root, read, defaultNodeCodec)) blocks.push(block)
    return blocks
  }

  async #holders(cid: BlockCid): Promise<BlockMember[]> {
    const has = await Promise.all(this.cluster.members.map(member => member.holds(cid)))
    return this.cluster.members.filter((_, i) => has[i])
  }

  #note(member: BlockMember, what: string, work: () => void): void {
    this.log.push(`${member.peer.slice(-4)} ${what}`)
    work()
  }

  async #noted(member: BlockMember, what: string, work: () => Promise<void>): Promise<void> {
    this.log.push(`${member.peer.slice(-4)} ${what}`)
    await work()
  }

  #pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#fraction() * list.length)] as T
  }
}

test(`${SEEDS} seeds: no file whose put succeeded is lost, every owner gets what it owes, and nothing is left over`, {
  timeout: 20 * MINUTE
}, async t => {
  const only = process.env['DFS_SEED']
  for (let seed = 1; seed <= SEEDS; seed++) {
    if (only !== undefined && Number(only) !== seed) continue
    const run = new Run(seed)
    try {
      await run.run()
    } catch (error) {
      t.diagnostic(`seed ${seed} (DFS_SEED=${seed} runs it alone):\n${run.log.join('\n')}`)
      throw error
    }
  }
})
