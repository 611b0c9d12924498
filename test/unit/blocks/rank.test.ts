import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { LOG2_TABLE } from '../../../src/blocks/log2-table.ts'
import { log2, Ranking } from '../../../src/blocks/rank.ts'
import type { ViewMember } from '../../../src/members/view.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

const GB = 10 ** 9

interface Vectors {
  log2: Array<[number, number]>
  views: Array<{
    members: Array<{ key: string; weight: number; zone: string | null }>
    orders: Array<{ digest: string; order: number[] }>
  }>
}
const vectors: Vectors = JSON.parse(readFileSync(join(import.meta.dirname, '../../vectors/rank.json'), 'utf8'))

function member(key: Uint8Array, options: Partial<ViewMember> = {}): ViewMember {
  const peer = Buffer.from(key).toString('hex')
  const rest = { weight: 100 * GB, zone: null, isDraining: false, isOut: false, isFull: false, canRead: true }
  return { peer, key, ...rest, ...options }
}

function members(count: number, options: (i: number) => Partial<ViewMember> = () => ({})): ViewMember[] {
  const chance = seededChance(count)
  return Array.from({ length: count }, (_, i) => member(chance.bytes(32), options(i)))
}

function rankingOf(list: readonly ViewMember[]): Ranking {
  return new Ranking({ id: new Uint8Array(32), members: list })
}

function digests(count: number, seed = 1): Uint8Array[] {
  const chance = seededChance(seed)
  return Array.from({ length: count }, () => chance.bytes(32))
}

const names = (list: readonly ViewMember[]): string[] => list.map(({ peer }) => peer)

test('every bit of the table of log2 is right', () => {
  assert.equal(LOG2_TABLE.length, 257)
  for (const [i, value] of LOG2_TABLE.entries())
    assert.ok(Math.abs(value - Math.log2(1 + i / 256) * 2 ** 24) <= 0.5 + 1e-6, `row ${i}`)
})

test('log2 grows with its argument and stays within a thousandth of the truth', () => {
  let last = -1
  for (let u = 1; u < 2 ** 32; u = Math.ceil(u * 1.0007) + 1) {
    const value = log2(u)
    assert.ok(value >= last && Number.isInteger(value))
    assert.ok(Math.abs(value / 2 ** 20 - Math.log2(u)) < 1e-5, String(u))
    last = value
  }
})

test('frozen vectors: logarithms and orders', () => {
  for (const [u, value] of vectors.log2) assert.equal(log2(u), value, String(u))
  for (const { members: list, orders } of vectors.views) {
    const ranking = rankingOf(list.map(({ key, ...rest }) => member(Buffer.from(key, 'hex'), rest)))
    for (const { digest, order } of orders) {
      const owners = ranking.owners(Buffer.from(digest, 'hex'), Number.POSITIVE_INFINITY)
      assert.deepEqual(
        owners.map(({ peer }) => list.findIndex(({ key }) => key === peer)),
        order
      )
    }
  }
})

test('a second implementation, written from SPEC.md in big integers, computes the same orders', () => {
  for (const { members: list, orders } of vectors.views) {
    for (const { digest, order } of orders) assert.deepEqual(orderBySpec(list, Buffer.from(digest, 'hex')), order)
  }
})

test('the order depends neither on how the view lists its members nor on how many owners are requested', () => {
  const list = members(9, i => ({ weight: (i + 1) * 50 * GB, zone: i % 3 === 0 ? null : `z${i % 2}` }))
  const [ranking, reversed] = [rankingOf(list), rankingOf([...list].reverse())]
  for (const digest of digests(50)) {
    const all = names(ranking.owners(digest, Number.POSITIVE_INFINITY))
    assert.equal(all.length, 9)
    assert.deepEqual(names(reversed.owners(digest, 9)), all)
    for (const count of [0, 1, 2, 5]) assert.deepEqual(names(ranking.owners(digest, count)), all.slice(0, count))
    for (const peer of all) assert.equal(ranking.isOwner(peer, digest, 3), all.indexOf(peer) < 3)
  }
})

test('each member owes in proportion to its weight', () => {
  const list = members(5, i => ({ weight: [100, 200, 300, 400, 1000][i]! * GB }))
  const ranking = rankingOf(list)
  const draws = 20_000
  const counts = new Map<string, number>()
  for (const digest of digests(draws)) {
    const [first] = names(ranking.owners(digest, 1)) as [string]
    counts.set(first, (counts.get(first) ?? 0) + 1)
  }
  let chiSquare = 0
  for (const { peer, weight } of list) {
    const expected = (draws * weight) / (2000 * GB)
    chiSquare += ((counts.get(peer) ?? 0) - expected) ** 2 / expected
  }
  // Four degrees of freedom: a fair draw fails this less than once in a million times, and the seeds are fixed.
  assert.ok(chiSquare < 40, String(chiSquare))
})

test('a member that joins takes its share, one that leaves gives up its own, and no other block moves', () => {
  const list = members(8)
  const [before, after] = [rankingOf(list.slice(0, 7)), rankingOf(list)]
  const newcomer = (list[7] as ViewMember).peer
  let moved = 0
  const blocks = digests(2_000)
  for (const digest of blocks) {
    const [old, now] = [names(before.owners(digest, 3)), names(after.owners(digest, 3))]
    // Only the newcomer owes a block that it did not owe before. It takes the place of the last owner.
    assert.deepEqual(
      now.filter(peer => peer !== newcomer),
      old.slice(0, now.includes(newcomer) ? 2 : 3)
    )
    if (now.includes(newcomer)) moved++
  }
  const expected = (blocks.length * 3) / 8
  assert.ok(moved > expected * 0.85 && moved < expected * 1.15, `${moved} of ${blocks.length} blocks have a new owner`)
})

test('every zone is used once before any is used twice', () => {
  const list = members(9, i => ({ zone: ['attic', 'cellar', 'shed'][i % 3]! }))
  const ranking = rankingOf(list)
  const zoneOf = new Map(list.map(({ peer, zone }) => [peer, zone]))
  for (const digest of digests(100)) {
    const zones = names(ranking.owners(digest, 6)).map(peer => zoneOf.get(peer))
    assert.equal(new Set(zones.slice(0, 3)).size, 3)
    assert.equal(new Set(zones.slice(3)).size, 3)
  }
})

test('if no owner could read content, the first member that can takes the place of the last', () => {
  const list = members(6, i => ({ canRead: i === 0, zone: i % 2 === 0 ? 'attic' : 'cellar' }))
  const ranking = rankingOf(list)
  const reader = (list[0] as ViewMember).peer
  let moved = 0
  for (const digest of digests(100)) {
    const all = names(ranking.owners(digest, Number.POSITIVE_INFINITY))
    for (const count of [1, 2, 3]) {
      const owners = names(ranking.owners(digest, count))
      const isAmongFirst = all.slice(0, count).includes(reader)
      if (!isAmongFirst) moved++
      assert.deepEqual(owners, isAmongFirst ? all.slice(0, count) : [...all.slice(0, count - 1), reader])
      assert.equal(ranking.isOwner(reader, digest, count), true)
      // The others keep their order after the owners.
      const rest = all.filter(peer => !owners.includes(peer))
      assert.deepEqual(names(ranking.inOrder(digest, count)), [...owners, ...rest])
    }
  }
  assert.ok(moved > 100)
  const sealed = rankingOf(list.slice(1))
  for (const digest of digests(10)) assert.equal(sealed.owners(digest, 2).length, 2)
  assert.deepEqual(ranking.owners(new Uint8Array(32), 0), [])
})

test('a member without a zone counts as a zone of its own', () => {
  const list = members(4, i => ({ zone: i < 2 ? 'attic' : null }))
  for (const digest of digests(100)) {
    const owners = rankingOf(list).owners(digest, 3)
    assert.ok(owners.filter(({ zone }) => zone === 'attic').length <= 1)
  }
})

test('a member that is out, draining or offers no room owes nothing, and readers ask it last', () => {
  const list = members(5, i => ({
    isOut: i === 1,
    isDraining: i === 2,
    weight: i === 3 ? 0 : 100 * GB,
    isFull: i === 4
  }))
  const ranking = rankingOf(list)
  const keepers = [list[0], list[4]].map(item => (item as ViewMember).peer)
  assert.equal(ranking.keeperCount, 2)
  assert.deepEqual([...ranking.keepers].sort(), [...keepers].sort())
  for (const digest of digests(20)) {
    // A member that is full keeps its rank.
    assert.deepEqual(names(ranking.owners(digest, 9)).sort(), [...keepers].sort())
    const readers = ranking.readers(digest)
    assert.equal(readers.length, 5)
    assert.deepEqual(readers.slice(0, 2), names(ranking.owners(digest, 9)))
  }
  assert.deepEqual(rankingOf([]).owners(new Uint8Array(32), 3), [])
})

/** The section "Rank" of SPEC.md, in big integers. */
function orderBySpec(list: Vectors['views'][number]['members'], digest: Buffer): number[] {
  const mix = (word: bigint): bigint => {
    let h = word & 0xffffffffn
    h = ((h ^ (h >> 16n)) * 0x85ebca6bn) & 0xffffffffn
    h = ((h ^ (h >> 13n)) * 0xc2b2ae35n) & 0xffffffffn
    return h ^ (h >> 16n)
  }
  const logarithm = (u: bigint): bigint => {
    const exponent = BigInt(u.toString(2).length - 1)
    const mantissa = ((u << 24n) >> exponent) & 0xffffffn
    const row = Number(mantissa >> 16n)
    const [from, to] = [BigInt(LOG2_TABLE[row] as number), BigInt(LOG2_TABLE[row + 1] as number)]
    return (exponent << 20n) + ((from + (((to - from) * (mantissa & 0xffffn)) >> 16n)) >> 4n)
  }
  const drawn = list.map(({ key, weight, zone }, i) => {
    const seed = createHash('sha256').update(Buffer.from(key, 'hex')).digest()
    const word = (bytes: Buffer, at: number): bigint => BigInt(bytes.readUInt32BE(at))
    let u = mix(mix(word(seed, 0) ^ word(digest, 0)) ^ word(seed, 4) ^ word(digest, 4))
    if (u === 0n) u = 1n
    let units = BigInt(weight) >> 20n
    if (units < 1n) units = 1n
    if (units > 1n << 27n) units = 1n << 27n
    return { i, key, zone, draw: (32n << 20n) - logarithm(u), units }
  })
  drawn.sort((a, b) => {
    const difference = a.draw * b.units - b.draw * a.units
    return difference < 0n ? -1 : difference > 0n ? 1 : a.key < b.key ? -1 : 1
  })
  const order: number[] = []
  const used = new Map<string, number>()
  while (drawn.length > 0) {
    const uses = drawn.map(({ zone }) => (zone === null ? 0 : (used.get(zone) ?? 0)))
    const [next] = drawn.splice(uses.indexOf(Math.min(...uses)), 1) as [(typeof drawn)[0]]
    if (next.zone !== null) used.set(next.zone, (used.get(next.zone) ?? 0) + 1)
    order.push(next.i)
  }
  return order
}
