import type { DfsNode } from '../../../src/api.ts'
import { tagOfContent } from '../../../src/catalog/content-tag.ts'
import { decodeRecordRow } from '../../../src/catalog/rows/record-rows.ts'
import { checkedPayload } from '../../../src/disk/index-rows.ts'
import { TABLES } from '../../../src/disk/tables.ts'
import { covers, REPLICAS_ALL } from '../../../src/format/entry.ts'
import { idOf } from '../../../src/format/statement.ts'
import type { Log } from '../../../src/log/log.ts'
import { toHex } from '../../../src/util/bytes.ts'
import { type PlainTree, plainTree } from '../../fixtures/plain-tree.ts'
import type { Content } from '../whole/contents.ts'
import type { Machine } from '../whole/machine.ts'
import { hasConflict } from '../whole/model.ts'
import { describe, readFile, treeOf } from '../whole/world.ts'
import { blocksOn, hasBlock } from './blocks.ts'
import { type Duty, dutyFor } from './fate.ts'
import type { Deed, History } from './history.ts'
import { hasVersion, isOfEntry, isVersion, type SeenRecord } from './records.ts'

/** How long a machine may take to read one version. */
const READ_MS_MAX = 60_000
/** Tables that must be empty once nothing is needed any more. */
const EMPTY_AT_LAST = ['claims', 'releases', 'nodes', 'unfinished', 'surplus', 'endedVersions', 'duePurges'] as const

/**
 * Judges a history: by what the machines show, by the records that were signed, and by who knew what when. It has its
 * own reckoning of what shows (`plainTree`) and of how long versions are kept (`dutyFor`).
 */
export class Judge {
  readonly #history: History
  /** The versions that each machine no longer keeps, by its name: those that were judged already. */
  readonly #dropped = new Map<string, Set<string>>()

  constructor(history: History) {
    this.#history = history
  }

  /** Nothing may ever be dropped too early. */
  atAnyTime(): void {
    const { world, records } = this.#history
    for (const machine of world.live) {
      const judged = this.#dropped.get(machine.name) ?? new Set()
      const now = this.#droppedOn(machine)
      for (const id of now) {
        const version = records.all.get(id)
        if (judged.has(id) || version === undefined) continue
        if (this.#duty(machine, version) === 'keep')
          this.#fault('dropped too early', `${machine.name} no longer keeps ${this.#textOf(version)}`)
      }
      this.#dropped.set(machine.name, now)
    }
  }

  /** Reads all versions that a machine shows at a path. */
  async readSome(machine: Machine, path: string): Promise<void> {
    const { world } = this.#history
    world.say(`${machine.name} reads the versions of ${path}`)
    const { node, process } = machine
    if (node === undefined) return
    const work = async (): Promise<void> => {
      for await (const { version, deleted, expired } of node.versions(path))
        if (!deleted && !expired) this.#checkRead(machine, path, await readFile(node, path, { version }))
    }
    const reading = work().catch(error => {
      if (!process.isDead) world.checkError(machine, error)
    })
    world.track(Promise.race([reading, new Promise<void>(resolve => process.onDeath(resolve))]))
  }

  /** Returns why it is too early to judge, beside what the world says. */
  async unrest(): Promise<string | undefined> {
    const { world } = this.#history
    const early = world.machines.find(({ stack }) => (stack?.log.earlyCount ?? 0) > 0)
    if (early !== undefined) {
      // What was stamped by a clock that was far ahead counts once its time has come.
      world.time.leap(12 * 60 * 60_000)
      return `a statement waits on ${early.name} for its time`
    }
    const busy = world.machines.find(({ disk }) => disk.rows.table(TABLES.versionNews).length > 0)
    return busy === undefined ? undefined : `${busy.name} has not looked at all versions`
  }

  async atRest(): Promise<void> {
    this.atAnyTime()
    const tree = this.#plainTree()
    this.#checkUnseen()
    this.#checkPuts(tree)
    this.#checkRemovals()
    await this.#checkTrees(tree)
    for (const machine of this.#history.world.machines) await this.#checkVersions(machine)
    this.#checkCopies(tree)
    await this.#history.world.checkWorkers(this.#history.world.machines)
  }

  /** Everything was purged by an admin: whatever every machine knows is released. */
  async whenAllIsPurged(): Promise<void> {
    await this.#checkTrees(this.#plainTree())
    this.#checkDropped()
  }

  /** No version is kept any more: no block is on any disk, and the logs have tombstones only. */
  async whenAllIsGone(): Promise<void> {
    const { world } = this.#history
    const tree = this.#plainTree()
    await this.#checkTrees(tree)
    this.#checkDropped()
    if (tree.nodes.some(({ kind }) => kind === 'file')) {
      this.#fault('not removed', tree.nodes.map(({ path }) => path).join(' '))
      return
    }
    for (const machine of world.machines) {
      const count = blocksOn(machine)
      if (count > 0) this.#fault('not freed', `${machine.name} still has ${count} blocks: ${this.#leftOn(machine)}`)
      for (const table of EMPTY_AT_LAST) {
        const rows = machine.disk.rows.table(TABLES[table]).length
        if (rows > 0) this.#fault('rows left', `${machine.name} has ${rows} rows in ${table}`)
      }
      await this.#checkForgotten(machine, tree)
    }
  }

  #leftOn(machine: Machine): string {
    const { contents } = this.#history.world
    const left = contents.all.flatMap(({ n, blocks }) =>
      blocks
        .filter(block => hasBlock(machine, block))
        .map(({ multihash }) => `${toHex(multihash.subarray(2, 6))} of content ${n}`)
    )
    return left.join('; ')
  }

  async #checkForgotten(machine: Machine, tree: PlainTree): Promise<void> {
    const { world, records } = this.#history
    const log = machine.stack?.log as unknown as Log
    const ids = await world.glance(machine, async () => {
      const all = new Set<string>()
      for await (const { statement } of log.all(1)) all.add(idOf(statement))
      return all
    })
    if (ids === undefined) return this.#fault('no log', machine.name)
    for (const [entry, ofEntry] of records.byEntry) {
      // A move or a write that met a delete stays as a head.
      const heads = tree.entries.get(entry)?.heads ?? []
      for (const { id, record, body } of ofEntry) {
        const isKept = heads.some(head => hasVersion(head.record, record))
        if (record.op === 'put' && body?.kind === 'file' && ids.has(id) && !isKept)
          this.#fault('not forgotten', `the log of ${machine.name} has ${id.slice(0, 6)}`)
        if (record.op === 'delete' && !ids.has(id) && records.knownTo(machine.name).has(id))
          this.#fault('no tombstone', `the log of ${machine.name} has lost the delete ${id.slice(0, 6)}`)
      }
    }
  }

  // What is covered

  /** A record covers only what some author has seen who covers it. */
  #checkUnseen(): void {
    for (const ofEntry of this.#history.records.byEntry.values())
      for (const version of ofEntry.filter(({ record }) => record.op === 'put')) {
        const by = ofEntry.filter(other => other !== version && covers(other.record, version.record.stamp))
        if (by.length > 0 && !by.some(({ known }) => known.has(version.id)))
          this.#fault(
            'covered unseen',
            `${this.#textOf(version)}, by ${by.map(other => this.#textOf(other)).join(', ')}`
          )
      }
  }

  /** What was acknowledged shows, or was replaced or removed. */
  #checkPuts(tree: PlainTree): void {
    const { deeds, records, erased } = this.#history
    const all = [...records.all.values(), ...erased]
    for (const deed of deeds) {
      if (deed.kind !== 'put' || deed.outcome !== 'ok') continue
      const written = all.filter(
        item => item.machine === deed.machine && item.tag === deed.content?.tag && !deed.before.has(item.id)
      )
      if (written.length === 0) this.#fault('no record', `put ${deed.n} is ok, and no record has its content`)
      const isThere = written.some(
        item =>
          [...tree.nodes, ...tree.nowhere].some(
            ({ shown }) => shown !== undefined && hasVersion(shown.record, item.record)
          ) || all.some(other => other !== item && isOfEntry(other, item) && covers(other.record, item.record.stamp))
      )
      const isSameContent = tree.nodes.some(
        ({ shown }) => shown !== undefined && this.#tagOf(shown) === deed.content?.tag
      )
      const isErased = written.some(item => erased.includes(item) && !records.all.has(item.id))
      if (!isThere && !isSameContent && !isErased) this.#fault('lost', `put ${deed.n} of ${deed.path}`)
    }
  }

  /** What was acknowledged as removed is covered by a delete, or was moved away or replaced before. */
  #checkRemovals(): void {
    const { deeds, records, erased } = this.#history
    const all = [...records.all.values(), ...erased]
    for (const deed of deeds.filter(({ kind, outcome }) => (kind === 'rm' || kind === 'purge') && outcome === 'ok'))
      for (const [path, tag] of deed.saw) {
        if (path !== deed.path || hasConflict(path)) continue
        const mine = all.filter(item => item.machine === deed.machine && !deed.before.has(item.id))
        const isEnded = all.some(
          item =>
            item.tag === tag &&
            deed.before.has(item.id) &&
            mine.some(by => by.record.op === 'delete' && isOfEntry(by, item) && covers(by.record, item.record.written))
        )
        if (!isEnded && !this.#metOthers(deed)) this.#fault('not removed', `${deed.kind} ${deed.n} of ${path}`)
      }
  }

  /** Returns true if another verb of the same machine, or a record of another one, may have come between. */
  #metOthers({ machine, startMs, endMs, n, before }: Deed): boolean {
    const { deeds, records } = this.#history
    return (
      deeds.some(
        other => other.n !== n && other.machine === machine && other.startMs <= endMs && other.endMs >= startMs
      ) ||
      [...records.knownTo(machine)].some(
        ([id, atMs]) => !before.has(id) && atMs >= startMs && atMs <= endMs && records.all.get(id)?.machine !== machine
      )
    )
  }

  // What shows

  #plainTree(): PlainTree {
    return plainTree(
      [...this.#history.records.all.values()].map(({ record, body, isByAdmin }) => ({ record, body, isByAdmin }))
    )
  }

  async #checkTrees(tree: PlainTree): Promise<void> {
    const { world } = this.#history
    const expected = tree.nodes
      .map(({ path, shown }) => `${path} ${shown === undefined ? '/' : world.nameOfTag(this.#tagOf(shown))}`)
      .sort()
    for (const machine of world.machines) {
      const nodes = await world.glance(machine, node => treeOf(node))
      if (nodes === undefined) {
        this.#fault('unlisted', machine.name)
        continue
      }
      const shown = nodes.map(({ path, tag }) => `${path} ${tag === '' ? '/' : world.nameOfTag(tag)}`).sort()
      const more = shown.filter(line => !expected.includes(line))
      const less = expected.filter(line => !shown.includes(line))
      if (more.length + less.length > 0)
        this.#fault('divergence', `${machine.name} shows ${more.join()} and not ${less.join()}`)
    }
  }

  #tagOf({ record }: { record: { root: Uint8Array | null } }): string {
    return record.root === null ? '' : (tagOfContent({ root: record.root }) as string)
  }

  // What is kept

  #duty(machine: Machine, version: SeenRecord): Duty {
    const { records, days, nowMs } = this.#history
    return dutyFor(version, { records, machine: machine.name, nowMs, days })
  }

  #isKeptByAll(version: SeenRecord): boolean {
    return this.#history.world.machines.every(machine => this.#duty(machine, version) === 'keep')
  }

  #versions(): SeenRecord[] {
    return [...this.#history.records.all.values()].filter(isVersion)
  }

  /** Every version that must be kept is listed, and every one that is listed as kept can be read. */
  async #checkVersions(machine: Machine): Promise<void> {
    const { world, gone } = this.#history
    const { node } = machine
    if (node === undefined) return
    const found = new Set<string>()
    for (const path of await this.#pathsOn(machine)) {
      const items = await world.glance(machine, async () => {
        const all = []
        for await (const item of node.versions(path)) all.push(item)
        return all
      })
      for (const { version, deleted, expired } of items ?? []) {
        if (deleted || expired || found.has(version)) continue
        found.add(version)
        const named = this.#history.records.all.get(version)
        // A member that heard of an end later than others keeps the version longer, and may be the only one.
        if (named === undefined || !this.#isKeptByAll(named) || gone.has(named.tag ?? '')) continue
        await this.#read(machine, node, { path, version })
      }
    }
    for (const version of this.#versions())
      if (!found.has(version.id) && this.#duty(machine, version) === 'keep')
        this.#fault('version gone', `${machine.name} does not list ${this.#textOf(version)}`)
  }

  async #read(machine: Machine, node: DfsNode, { path, version }: { path: string; version: string }): Promise<void> {
    const { world } = this.#history
    let why: unknown = 'it takes too long'
    let isRead = false
    const reading = readFile(node, path, { version }).then(
      file => {
        isRead = true
        this.#checkRead(machine, path, file)
      },
      error => {
        why = error
      }
    )
    await world.time.passUntil(reading, READ_MS_MAX)
    const named = this.#history.records.all.get(version)
    if (!isRead)
      this.#fault(
        'unreadable',
        `${machine.name} cannot read ${named === undefined ? version : this.#textOf(named)} at ${path}: ${describe(why)}`
      )
  }

  #checkRead(machine: Machine, path: string, { tag, bytes }: { tag: string; bytes: Uint8Array }): void {
    const content = this.#history.world.contents.all.find(known => known.tag === tag)
    if (content === undefined || !Buffer.from(content.bytes).equals(bytes))
      this.#fault('wrong bytes', `a version of ${path} on ${machine.name}`)
  }

  async #pathsOn(machine: Machine): Promise<Set<string>> {
    const { world, deeds } = this.#history
    const paths = new Set(deeds.map(({ path }) => path))
    for (const deleted of [false, true])
      await world.glance(machine, async node => {
        for await (const { path, kind } of node.list('/', { recursive: true, deleted }))
          if (kind === 'file') paths.add(path)
      })
    return paths
  }

  /** Every block of what shows or is kept anywhere is on as many machines as it should be. */
  #checkCopies(tree: PlainTree): void {
    const { world, gone } = this.#history
    for (const version of this.#versions()) {
      const content = this.#contentOf(version.id)
      if (content === undefined || gone.has(content.tag)) continue
      const isShown = tree.nodes.some(({ shown }) => shown !== undefined && hasVersion(shown.record, version.record))
      if (!isShown && !this.#isKeptByAll(version)) continue
      const { replicas } = version.record
      const wanted = Math.min(world.machines.length, replicas === REPLICAS_ALL ? world.machines.length : replicas)
      for (const [i, block] of content.blocks.entries()) {
        const holders = world.machines.filter(machine => hasBlock(machine, block))
        if (holders.length < wanted)
          this.#fault(
            'too few copies',
            `block ${i} of ${this.#textOf(version)} is on ${holders.map(({ name }) => name).join('') || 'none'}, and ${wanted} are wanted, because it ${isShown ? 'shows' : 'is kept'}`
          )
      }
    }
  }

  #checkDropped(): void {
    const { world } = this.#history
    for (const machine of world.machines) {
      const dropped = this.#droppedOn(machine)
      for (const version of this.#versions())
        if (!dropped.has(version.id) && this.#duty(machine, version) === 'drop')
          this.#fault('kept too long', `${machine.name} still keeps ${this.#textOf(version)}`)
    }
  }

  #droppedOn({ disk }: Machine): Set<string> {
    const dropped = new Set<string>()
    for (const { key, value } of disk.rows.table(TABLES.records)) {
      const payload = checkedPayload(key, value)
      if (payload === undefined || payload.byteLength === 0) continue
      const { id, isDropped } = decodeRecordRow(payload)
      if (isDropped) dropped.add(toHex(id))
    }
    return dropped
  }

  #contentOf(id: string): Content | undefined {
    const tag = this.#history.records.all.get(id)?.tag
    return this.#history.world.contents.all.find(content => content.tag === tag)
  }

  #textOf({ id, record, tag, machine, body }: SeenRecord): string {
    const content = tag === null ? '' : ` of content ${this.#history.world.nameOfTag(tag)}`
    return `${record.op} ${id.slice(0, 8)} by ${machine}${content} as ${body?.name ?? 'nothing'}`
  }

  #fault(kind: string, message: string): void {
    this.#history.world.fault(kind, message)
  }
}
