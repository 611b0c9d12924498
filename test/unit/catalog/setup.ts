import assert from 'node:assert/strict'
import { Blocks } from '../../../src/blocks/blocks.ts'
import { Author, type Content } from '../../../src/catalog/author.ts'
import { Bodies } from '../../../src/catalog/bodies.ts'
import { Catalog } from '../../../src/catalog/catalog.ts'
import { ChangeFeed } from '../../../src/catalog/feed/change-feed.ts'
import { pastOf } from '../../../src/catalog/heads.ts'
import { Names } from '../../../src/catalog/names.ts'
import { CatalogProjection } from '../../../src/catalog/projection.ts'
import { nameKeyOf } from '../../../src/catalog/rows/keys.ts'
import { SealedEntries } from '../../../src/catalog/sealed-entries.ts'
import { rootNode, Tree } from '../../../src/catalog/tree.ts'
import type { DirectoryNode, TreeNode } from '../../../src/catalog/tree-node.ts'
import { Retention } from '../../../src/catalog/versions/retention.ts'
import { Versions } from '../../../src/catalog/versions/versions.ts'
import { IndexDb, indexKey } from '../../../src/disk/index-db.ts'
import { IndexOps, type IndexSink } from '../../../src/disk/index-sink.ts'
import { TABLES } from '../../../src/disk/tables.ts'
import { type EntryRecord, type RecordInit, ROOT_ENTRY, readRecord, signRecord } from '../../../src/format/entry.ts'
import type { Role } from '../../../src/format/kinds.ts'
import { parsePath } from '../../../src/format/path.ts'
import { secretKey } from '../../../src/format/seal.ts'
import { inlineRoot } from '../../../src/format/seal-file.ts'
import type { Hlc } from '../../../src/format/stamp.ts'
import { idOf, type Statement } from '../../../src/format/statement.ts'
import { forgottenKey } from '../../../src/log/log.ts'
import type { AcceptedStatement, Signer } from '../../../src/log/projection.ts'
import { type Epoch, KeyRing } from '../../../src/members/key-ring.ts'
import { LocalMember } from '../../../src/members/local-member.ts'
import { equalBytes, NO_BYTES, toHex } from '../../../src/util/bytes.ts'
import type { Chance } from '../../../src/util/chance.ts'
import type { ComponentLogger } from '../../../src/util/logger.ts'
import { acceptedBy } from '../../fixtures/accepted.ts'
import { ManualClock } from '../../fixtures/clock.ts'
import { silentLogger } from '../../fixtures/logger.ts'
import { adminSecrets, grantedSecrets } from '../../fixtures/member.ts'
import { MemoryDatabase } from '../../fixtures/memory-database.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'

/** Three members whose records the tests sign. Their keys are no secret. */
const chance = seededChance(1)
/** The clock that all members share. */
export const clock = new ManualClock()
const secrets = adminSecrets(Buffer.alloc(32, 7), clock, chance)
const writerSecrets = grantedSecrets(secrets, clock, chance)
export const admin = new LocalMember(secrets, clock, chance)
export const writer = new LocalMember(writerSecrets, clock, chance)
export const otherWriter = new LocalMember(grantedSecrets(secrets, clock, chance), clock, chance)
export const keys = new KeyRing(secrets.epochs)
export const epoch = keys.newest!

/** The names of all catalogs here, whose key is no secret. */
export const names = new Names(Buffer.alloc(32))

/** An epoch whose key arrives late, if at all. */
const LATE = { id: Buffer.alloc(32, 9), key: Buffer.alloc(32, 8) }
export const lateEpoch = new KeyRing([LATE]).newest!

/** A ring with the key of the first epoch, and a function that adds the key of the late one. */
export function ringWithout(): { keys: KeyRing; addLate: () => void } {
  const keys = new KeyRing(secrets.epochs)
  return { keys, addLate: () => keys.add(LATE.id, LATE.key) }
}

/** A ring with the keys of both epochs. */
export function ringWithBoth(): KeyRing {
  return new KeyRing([...secrets.epochs, LATE])
}

export interface Signed {
  statement: Statement<'entry'>
  record: EntryRecord
}

export interface SignInit extends Partial<RecordInit> {
  entry: Uint8Array
  by?: LocalMember
  hlc?: Hlc
  /** True for a body that no key of the epoch opens. */
  isForged?: boolean
}

/** A key for bodies that nobody can open. */
const FORGED_KEY = secretKey(Buffer.alloc(32, 0x66))

/**
 * The last stamp of each member here. The clock stands still, but records that the tests sign later must have later
 * stamps.
 */
const lastHlcs = new Map<LocalMember, Hlc>()

function laterHlc(by: LocalMember): Hlc {
  const hlc = by.nextHlc(lastHlcs.get(by) ?? 0n)
  lastHlcs.set(by, hlc)
  return hlc
}

/** Signs a record with any fields, honest or not. By default it is a put whose body opens. */
export function sign({ by = admin, hlc = laterHlc(by), isForged = false, ...init }: SignInit): Signed {
  const statement = signRecord(
    {
      incarnation: Buffer.alloc(8, 1),
      epoch: epoch.id,
      seen: [],
      op: 'put',
      placed: null,
      written: null,
      root: null,
      rootEpoch: null,
      replicas: 1,
      body: null,
      ...init
    },
    { ...by.signing(hlc), subkey: isForged ? FORGED_KEY : subkeyOf(init.epoch) }
  )
  return { statement, record: readRecord(statement, by.publicKey) }
}

function subkeyOf(id: Uint8Array = epoch.id): Epoch['record'] {
  return (equalBytes(id, lateEpoch.id) ? lateEpoch : epoch).record
}

/** The fields of a record of a file. */
export function fileWith(text: string, at: { parent?: Uint8Array; name: string }) {
  const content = Buffer.from(text)
  return {
    root: inlineRoot(epoch.content, content),
    rootEpoch: epoch.id,
    body: { parent: ROOT_ENTRY, ...at, kind: 'file' as const, size: content.byteLength, mtime: 0, content }
  }
}

/** The content that a put of this text would link. */
export function contentOf(text: string): Content {
  const { root, rootEpoch, body } = fileWith(text, { name: '' })
  return { root, rootEpoch, size: body.size, mtime: 0, content: body.content }
}

export function directoryAt(name: string, parent: Uint8Array = ROOT_ENTRY) {
  return { body: { parent, name, kind: 'directory' as const, size: 0, mtime: 0 } }
}

/** The fields by which a move carries a record's content. */
export function carrying({ record }: Signed) {
  const { written, root, rootEpoch, entry } = record
  return { entry, seen: pastOf(record), written, root, rootEpoch }
}

export interface SetupOptions {
  logger?: ComponentLogger
  /** The member that makes the changes. */
  self?: LocalMember
  /** The source of the member's random values. */
  seed?: number
  /** By default it holds the key of the first epoch. */
  keys?: KeyRing
}

/** An index that calls a function before each read. */
class ObservedIndex extends IndexDb {
  readonly #before: () => Promise<void> | undefined

  constructor(before: () => Promise<void> | undefined) {
    super(new MemoryDatabase().asDatabase, silentLogger)
    this.#before = before
  }

  override async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    await this.#before()
    return super.get(key)
  }

  override async getMany(keys: Uint8Array[]): Promise<Array<Uint8Array | undefined>> {
    await this.#before()
    return super.getMany(keys)
  }

  override async *range(...args: Parameters<IndexDb['range']>): ReturnType<IndexDb['range']> {
    await this.#before()
    yield* super.range(...args)
  }
}

/** A catalog over a database in memory, with a log that accepts every statement. */
export class Setup {
  readonly clock = new ManualClock()
  readonly chance: Chance
  /** Called before each read of the index and before each append of the catalog. The caller waits for it. */
  beforeEach: (() => Promise<void>) | undefined
  /** Called before each append of the catalog. The caller waits for it. */
  beforeAppend: (() => Promise<void>) | undefined
  /** Called with each batch that the index has accepted. */
  onProjected: ((items: readonly AcceptedStatement[]) => void) | undefined
  readonly index = new ObservedIndex(() => this.beforeEach?.())
  readonly #accepted = new Map<string, AcceptedStatement>()
  readonly log = {
    get: async (id: Uint8Array): Promise<AcceptedStatement | undefined> => this.#accepted.get(toHex(id)),
    append: (statements: readonly Statement[], signer: Signer): Promise<void> => this.#append(statements, signer),
    again: (ids: readonly Uint8Array[]): Promise<void> =>
      this.project(ids.flatMap(id => this.#accepted.get(toHex(id)) ?? [])),
    alone: <T>(work: () => Promise<T>): Promise<T> => this.#afterLast(work),
    forgetIn: async (
      ops: IndexSink,
      ids: readonly Uint8Array[],
      mayForget: (item: AcceptedStatement) => boolean = () => true
    ): Promise<Uint8Array[]> => {
      const items = ids.flatMap(id => this.#accepted.get(toHex(id)) ?? [])
      const forgotten = items.filter(item => this.covered.has(idOf(item.statement)) && mayForget(item))
      for (const { statement } of forgotten) {
        this.#accepted.delete(idOf(statement))
        ops.put(forgottenKey(statement.id), NO_BYTES)
      }
      return forgotten.map(({ statement }) => statement.id)
    }
  }
  readonly bodies: Bodies
  readonly projection: CatalogProjection
  readonly tree: Tree
  readonly feed: ChangeFeed
  readonly sealed: SealedEntries
  readonly author: Author
  readonly catalog: Catalog
  readonly versions: Versions
  readonly retention: Retention
  /** How long versions are kept after their end. */
  keptMs = 30 * 24 * 60 * 60_000
  isClockRight = true
  #last: Promise<void> = Promise.resolve()

  private constructor({ logger = silentLogger, self = admin, seed = 2, keys }: SetupOptions) {
    // A ring keeps all that listen to it in memory, so each catalog has its own.
    const ring = keys ?? new KeyRing(secrets.epochs)
    this.chance = seededChance(seed)
    const { index, log, clock, chance } = this
    const bodies = new Bodies(log, ring, logger)
    this.bodies = bodies
    const rest = { index, bodies, names }
    this.projection = new CatalogProjection({
      ...rest,
      logger,
      nodeCodecs: [0x71],
      onRecords: () => this.feed.wake(),
      onVersionNews: () => {}
    })
    this.feed = new ChangeFeed({ ...rest, log, clock, chance, depthOf: () => 0 })
    this.tree = new Tree({ ...rest, clock, depthOf: () => 0 })
    this.sealed = new SealedEntries({ index, log, keys: ring, clock, chance, logger, onOpened: () => this.feed.wake() })
    const keptMs = (): number => this.keptMs
    this.versions = new Versions({ index, keptMs, clock })
    this.retention = new Retention({
      index,
      log,
      clock,
      logger,
      depthOf: () => 0,
      keptMs,
      isClockRight: () => this.isClockRight,
      onReleased: () => {},
      onError: () => {}
    })
    this.author = new Author({ self, keys: ring, chance, bodies, nodeCodecs: [0x71] })
    const { tree, author } = this
    this.catalog = new Catalog({
      log,
      tree,
      bodies,
      author,
      self,
      clock,
      chance,
      logger,
      assertMayWrite: () => {},
      versions: this.versions
    })
  }

  static async open(options: SetupOptions = {}): Promise<Setup> {
    const setup = new Setup(options)
    await setup.index.open()
    for (const { statements, network } of [admin, writer])
      for (const statement of statements) setup.#accepted.set(idOf(statement), acceptedBy(network, statement, 'root'))
    return setup
  }

  /** Projects records in one batch. */
  async add(...batch: readonly Signed[]): Promise<void> {
    const roleOf = ({ stamp }: EntryRecord): Role => (equalBytes(stamp.author, admin.publicKey) ? 'admin' : 'writer')
    const arrivedAtMs = this.clock.now()
    await this.project(
      batch.map(({ statement, record }) => ({
        ...acceptedBy(record.stamp.author, statement, roleOf(record)),
        arrivedAtMs
      }))
    )
  }

  /** The ids (hex) of the puts that the projection has called covered. */
  readonly covered = new Set<string>()

  /**
   * All rows of the index, once it has been decided which versions are kept; without those about the index itself, and
   * without the feed, which depends on the order of arrival. So does whether a record that was released is forgotten too.
   */
  async rows(): Promise<string[]> {
    await this.retention.look()
    const rows: string[] = []
    const released = await this.#releasedRows()
    for await (const { key, value } of this.index.range(new Uint8Array(0)))
      if (key[0] === TABLES.released.charCodeAt(0) || key[0] === TABLES.forgotten.charCodeAt(0)) continue
      else if (key[0] !== TABLES.meta.charCodeAt(0) && key[0] !== TABLES.feed.charCodeAt(0))
        rows.push(`${String.fromCharCode(key[0]!)} ${toHex(key)} ${toHex(value)}`)
    return [...rows, ...released]
  }

  async #releasedRows(): Promise<string[]> {
    const ids = new Set<string>()
    for (const table of [TABLES.released, TABLES.forgotten])
      for await (const { key } of this.index.range(indexKey(table))) ids.add(toHex(key.subarray(1, 17)))
    return [...ids].sort().map(id => `released ${id}`)
  }

  /** Returns true if a record has been released. */
  isReleased(id: Uint8Array): Promise<boolean> {
    return Blocks.isReleased(this.index, id)
  }

  /** The rows of the feed. */
  async rowsOfFeed(): Promise<Array<{ key: Uint8Array; value: Uint8Array }>> {
    const rows: Array<{ key: Uint8Array; value: Uint8Array }> = []
    for await (const row of this.index.range(indexKey(TABLES.feed))) rows.push(row)
    return rows
  }

  /** Brings the feed back to an earlier state. */
  async restoreFeed(rows: ReadonlyArray<{ key: Uint8Array; value: Uint8Array }>): Promise<void> {
    const now = await this.rowsOfFeed()
    await this.index.batch([
      ...now.map(({ key }) => ({ type: 'del' as const, key })),
      ...rows.map(row => ({ type: 'put' as const, ...row }))
    ])
  }

  /** Everything that the tree shows below a directory: the path, kind and record of each node. */
  async listing(directory: DirectoryNode = rootNode()): Promise<string[]> {
    const lines: string[] = []
    if (directory.path.length === 0) await this.#checkNames()
    for await (const node of this.tree.list(directory)) {
      lines.push(lineOf(node))
      if (node.path.length > 32) throw new Error('the tree has no end')
      if (node.kind === 'directory') lines.push(...(await this.listing(node)))
    }
    return lines
  }

  /** Checks the rows of names against the rows of the table of children. */
  async #checkNames(): Promise<void> {
    const byName = new Map<string, Array<{ key: Uint8Array; value: Uint8Array }>>()
    for await (const row of this.index.range(indexKey(TABLES.children))) {
      const name = toHex(nameKeyOf(row.key))
      byName.set(name, [...(byName.get(name) ?? []), row])
    }
    const expected = [...byName].map(([name, rows]) => {
      const [{ key, value }] = rows as [{ key: Uint8Array; value: Uint8Array }]
      return [name, rows.length === 1 ? toHex(key.subarray(-16)) + toHex(value) : '']
    })
    const actual: string[][] = []
    for await (const { key, value } of this.index.range(indexKey(TABLES.names))) actual.push([toHex(key), toHex(value)])
    assert.deepEqual(actual, expected.sort())
  }

  /** The paths of everything that the tree shows. */
  async paths(): Promise<string[]> {
    return (await this.listing()).map(line => line.split(' | ')[0] as string)
  }

  /** The path and the text of each file that the tree shows. */
  async contents(directory: DirectoryNode = rootNode()): Promise<string[]> {
    const lines: string[] = []
    for await (const node of this.tree.list(directory)) {
      if (node.kind === 'directory') lines.push(...(await this.contents(node)))
      else lines.push(`/${node.path.join('/')} ${Buffer.from(node.body?.content ?? []).toString()}`)
    }
    return lines
  }

  async at(path: string): Promise<TreeNode | undefined> {
    return this.tree.resolve(parsePath(path))
  }

  async #append(statements: readonly Statement[], { author, role }: Signer): Promise<void> {
    await this.beforeEach?.()
    await this.beforeAppend?.()
    const arrivedAtMs = this.clock.now()
    await this.project(statements.map(statement => ({ ...acceptedBy(author, statement, role), arrivedAtMs })))
  }

  /** Projects accepted statements in one batch, which the index applies. Like the log, it does one batch at a time. */
  project(items: readonly AcceptedStatement[]): Promise<void> {
    return this.#afterLast(() => this.#projectNow(items))
  }

  #afterLast<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work)
    this.#last = done.then(
      () => {},
      () => {}
    )
    return done
  }

  async #projectNow(items: readonly AcceptedStatement[]): Promise<void> {
    const ops = new IndexOps()
    await this.projection.project({ added: items, removed: [] }, ops)
    for (const id of this.projection.coveredIn(ops)) this.covered.add(toHex(id))
    await this.index.batch(ops.all)
    for (const item of items) this.#accepted.set(idOf(item.statement), item)
    this.projection.applied({ added: items, removed: [] })
    this.onProjected?.(items)
  }
}

function lineOf(node: TreeNode): string {
  const path = `/${node.path.join('/')}`
  const what = node.kind === 'directory' ? node.ids.map(toHex).join('+') : `${toHex(node.id)} ${toHex(node.record.id)}`
  return [path, node.kind, what, node.isConflict ? 'conflict' : ''].join(' | ')
}
