import { createSecretKey } from 'node:crypto'
import { tagOfContent } from '../../../src/catalog/content-tag.ts'
import { covers, type EntryBody, type EntryRecord, openBody, readRecord } from '../../../src/format/entry.ts'
import { deriveNetwork, epochSubkeys } from '../../../src/format/network-key.ts'
import { peerIdOf } from '../../../src/format/peer-id.ts'
import { compareStamps, type Stamp } from '../../../src/format/stamp.ts'
import type { Statement } from '../../../src/format/statement.ts'
import { Log } from '../../../src/log/log.ts'
import type { AcceptedStatement } from '../../../src/log/projection.ts'
import { equalBytes, toHex } from '../../../src/util/bytes.ts'
import { NETWORK_KEY } from '../whole/world.ts'

/** A record that some machine has projected. */
export interface SeenRecord {
  id: string
  statement: Statement<'entry'>
  record: EntryRecord
  body: EntryBody | undefined
  isByAdmin: boolean
  purge: boolean
  cancel: boolean
  /** The tag of its content; null if it has none. */
  tag: string | null
  /** The machine that signed it. */
  machine: string
  /** When it was first projected anywhere, in ms of the calendar. */
  bornMs: number
  /** The ids of the records that its machine knew then. */
  known: ReadonlySet<string>
}

/** What one machine knows: when each record reached it, in ms of the calendar, by the id of the record. */
export type Known = Map<string, number>

const NOTHING: Known = new Map()
const SUBKEY = createSecretKey(epochSubkeys(deriveNetwork(NETWORK_KEY).epochKey).record)

/** A record that was projected, and whether a start found it on the disk. */
type Heard = [item: AcceptedStatement<'entry'>, isFound: boolean]

/** What the records of each log are told to, as they are projected. */
const listeners = new WeakMap<Log, (...heard: Heard) => void>()
/** What was projected before anybody listened. */
const unheard = new WeakMap<Log, Heard[]>()
/** The logs that have read their disk. A log projects the records that its disk already has before it is in here. */
const opened = new WeakSet<Log>()

const { load, register } = Log.prototype
Log.prototype.load = function (this: Log): Promise<void> {
  opened.add(this)
  return load.call(this)
}
Log.prototype.register = function (this: Log, projection): void {
  if (projection.kinds.has('entry')) {
    const project = projection.project.bind(projection)
    unheard.set(this, [])
    projection.project = async (change, sink) => {
      const isFound = !opened.has(this)
      await project(change, sink)
      for (const item of change.added as ReadonlyArray<AcceptedStatement<'entry'>>) {
        const listener = listeners.get(this)
        if (listener === undefined) unheard.get(this)?.push([item, isFound])
        else listener(item, isFound)
      }
    }
  }
  register.call(this, projection)
}

function listen(log: Log, listener: (...heard: Heard) => void): void {
  listeners.set(log, listener)
  for (const heard of unheard.get(log)?.splice(0) ?? []) listener(...heard)
}

/**
 * All records that were ever signed, and which machine knew which of them when. It hears of each from the projections
 * of the machines, so it also has those that every log has forgotten.
 */
export class Records {
  readonly all = new Map<string, SeenRecord>()
  /** Records that were on one disk only, and were lost when a backup was restored there. */
  readonly #erased = new Map<string, SeenRecord>()
  readonly #knownBy = new Map<string, Known>()
  readonly #machineOf: (peer: string) => string
  readonly #nowMs: () => number

  constructor(init: { machineOf: (peer: string) => string; nowMs: () => number }) {
    this.#machineOf = init.machineOf
    this.#nowMs = init.nowMs
  }

  /**
   * Hears of all records that this log projects. The last process may have been killed when the row of a record was on
   * the disk and the record was not projected yet. The start finds such a record, however long the machine was off. It
   * counts as having reached the machine at `endedMs`, when that process ended.
   */
  watch(machine: string, log: Log, endedMs: number): void {
    listen(log, (item, isFound) => this.#note(machine, item, isFound ? endedMs : this.#nowMs()))
  }

  knownTo(machine: string): ReadonlyMap<string, number> {
    return this.#knownBy.get(machine) ?? NOTHING
  }

  /** Returns what a machine knows, for a backup. */
  copyOf(machine: string): Known {
    return new Map(this.knownTo(machine))
  }

  /** Notes that a machine has gone back to what it knew when its backup was made. Returns the records that are gone. */
  rollBack(machine: string, known: Known): SeenRecord[] {
    const others = [...this.#knownBy].filter(([name]) => name !== machine).map(([, theirs]) => theirs)
    const gone: SeenRecord[] = []
    for (const id of this.knownTo(machine).keys()) {
      const item = this.all.get(id)
      if (item === undefined || known.has(id) || others.some(theirs => theirs.has(id))) continue
      this.all.delete(id)
      this.#erased.set(id, item)
      gone.push(item)
    }
    this.#knownBy.set(machine, new Map(known))
    return gone
  }

  /** The records of one entry, by the id of the entry in hex. */
  get byEntry(): Map<string, SeenRecord[]> {
    return Map.groupBy(this.all.values(), ({ record }) => toHex(record.entry))
  }

  #note(machine: string, { statement, author, role }: AcceptedStatement<'entry'>, atMs: number): void {
    const id = toHex(statement.id)
    const known = this.#knownBy.get(machine) ?? new Map()
    this.#knownBy.set(machine, known)
    if (!this.all.has(id)) this.all.set(id, this.#erased.get(id) ?? this.#read(id, { statement, author, role }))
    this.#erased.delete(id)
    if (!known.has(id)) known.set(id, atMs)
  }

  #read(
    id: string,
    { statement, author, role }: Pick<AcceptedStatement<'entry'>, 'statement' | 'author' | 'role'>
  ): SeenRecord {
    const record = readRecord(statement, author)
    const machine = this.#machineOf(peerIdOf(author))
    const { purge = false, cancel = false, body } = statement.fields
    return {
      id,
      statement,
      record,
      body: body === undefined ? undefined : openBody(SUBKEY, statement),
      isByAdmin: role === 'admin',
      purge,
      cancel,
      tag: record.root === null ? null : (tagOfContent({ root: record.root }) as string),
      machine,
      bornMs: this.#nowMs(),
      known: new Set(this.knownTo(machine).keys())
    }
  }
}

function isSame(a: Stamp, b: Stamp): boolean {
  return compareStamps(a, b) === 0
}

/** Returns true for records of one entry. Stamps are not unique beyond an entry. */
export function isOfEntry(a: SeenRecord, b: SeenRecord): boolean {
  return equalBytes(a.record.entry, b.record.entry)
}

/** Returns true if two records have the content of one version. */
export function hasVersion(a: EntryRecord, b: EntryRecord): boolean {
  return equalBytes(a.entry, b.entry) && isSame(a.written, b.written)
}

/** Returns true for a put that wrote content. */
export function isVersion({ record, body }: SeenRecord): boolean {
  return record.op === 'put' && body?.kind === 'file' && isSame(record.stamp, record.written)
}

/** Returns the records that end a version: those that have seen it and are not of it. */
export function coverersOf(version: SeenRecord, ofEntry: readonly SeenRecord[]): SeenRecord[] {
  const { written } = version.record
  return ofEntry.filter(({ record }) => !isSame(record.written, written) && covers(record, written))
}
