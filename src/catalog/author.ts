import { SEEN_MAX, SEEN_OF_DELETE_MAX } from '../format/constants.ts'
import { type EntryBody, type EntryRecord, type RecordInit, signRecord } from '../format/entry.ts'
import { INCARNATION_BYTES } from '../format/stamp.ts'
import type { Statement } from '../format/statement.ts'
import { NotAllowedError } from '../members/errors.ts'
import type { Epoch, KeyRing } from '../members/key-ring.ts'
import type { LocalMember } from '../members/local-member.ts'
import type { Chance } from '../util/chance.ts'
import type { Bodies } from './bodies.ts'
import { type EntryState, pastOfAll, type Shown } from './heads.ts'

export interface AuthorOptions {
  self: LocalMember
  keys: KeyRing
  chance: Chance
  bodies: Pick<Bodies, 'remember'>
  /** Codecs that manifest nodes may have. */
  nodeCodecs: readonly number[]
}

/** What a file holds, as a put made it. */
export interface Content {
  /** Bytes of the root's CID, or the siv of inline content. */
  root: Uint8Array
  /** The epoch whose key sealed it. */
  rootEpoch: Uint8Array
  size: number
  mtime: number
  mode?: number | undefined
  type?: string | undefined
  /** Opens the root block. */
  key?: Uint8Array | undefined
  /** The content itself, if it is inline. */
  content?: Uint8Array | undefined
  props?: Record<string, unknown> | undefined
}

/** Where an entry is to stand. */
export interface Placement {
  parent: Uint8Array
  name: string
}

/** Makes this member's records. Each rule of SPEC.md about what a record has seen, and keeps, is applied here once. */
export class Author {
  readonly #options: AuthorOptions
  #incarnation: Uint8Array

  constructor(options: AuthorOptions) {
    this.#options = options
    // Anew at each start: what a restored backup writes would otherwise hide what it forgot. Drawn before the first write
    // rather than at it: nothing is written under it in between, so nobody can tell.
    this.#incarnation = options.chance.bytes(INCARNATION_BYTES)
  }

  /** The epoch to seal content under. */
  get epoch(): Epoch {
    const epoch = this.#options.keys.newest
    if (epoch === undefined) throw new NotAllowedError('this member holds no key to write with')
    return epoch
  }

  createFile(entry: Uint8Array, at: Placement, content: Content, replicas: number): Statement<'entry'> {
    const { root, rootEpoch, ...rest } = content
    return this.create(entry, { ...at, kind: 'file', ...rest }, { root, rootEpoch, replicas })
  }

  createDirectory(entry: Uint8Array, at: Placement, mtime: number, replicas: number): Statement<'entry'> {
    const body: EntryBody = { ...at, kind: 'directory', size: 0, mtime }
    return this.create(entry, body, { root: null, rootEpoch: null, replicas })
  }

  /** The first record of an entry, of any kind. */
  create(
    entry: Uint8Array,
    body: EntryBody,
    { root, rootEpoch, replicas }: Pick<EntryRecord, 'root' | 'rootEpoch' | 'replicas'>
  ): Statement<'entry'> {
    return this.#sign([], [], { entry, op: 'put', placed: null, written: null, root, rootEpoch, replicas, body })
  }

  /** New content in an old place. Undefined if the entry's past has grown too long: it must go on under a new id. */
  write(
    entry: Uint8Array,
    { heads }: EntryState,
    shown: Shown,
    at: Placement,
    content: Content,
    replicas: number
  ): Statement<'entry'> | undefined {
    const { root, rootEpoch, ...rest } = content
    if (isPastTooLong(heads)) return undefined
    return this.#sign(heads, heads, {
      entry,
      op: 'put',
      placed: shown.place.placed,
      written: null,
      root,
      rootEpoch,
      replicas,
      body: { ...at, kind: 'file', ...rest }
    })
  }

  /**
   * Old content in a new place. It carries one head, and its past is that head's and nothing else, so that a conflict
   * stays visible. Undefined as with `write`.
   */
  move({ heads }: EntryState, carried: EntryRecord, body: EntryBody, at: Placement): Statement<'entry'> | undefined {
    if (isPastTooLong([carried])) return undefined
    return this.#sign(heads, [carried], {
      entry: carried.entry,
      op: 'put',
      placed: null,
      written: carried.written,
      root: carried.root,
      rootEpoch: carried.rootEpoch,
      replicas: carried.replicas,
      body: { ...body, ...at }
    })
  }

  /** Ends an entry: one record, or several if its heads have seen more than one may name. */
  delete(
    entry: Uint8Array,
    { heads }: EntryState,
    shown: Shown,
    body: EntryBody | undefined
  ): Array<Statement<'entry'>> {
    const kept =
      body?.kind === 'directory'
        ? { parent: body.parent, name: body.name, kind: body.kind, size: 0, mtime: body.mtime }
        : null
    return groupsOf(heads).map(group => {
      const isPlaced = group.includes(shown.place)
      return this.#sign(heads, group, {
        entry,
        op: 'delete',
        placed: isPlaced ? shown.place.placed : (group[0] as EntryRecord).placed,
        written: null,
        root: null,
        rootEpoch: null,
        replicas: 1,
        body: kept
      })
    })
  }

  /** Signs a record that has seen some of the heads. */
  #sign(
    heads: readonly EntryRecord[],
    covered: readonly EntryRecord[],
    init: Omit<RecordInit, 'incarnation' | 'epoch' | 'seen'>
  ): Statement<'entry'> {
    const { self, chance, bodies, nodeCodecs } = this.#options
    const { id, record } = this.epoch
    // Whoever sees this record names its stamp as seen, and with it all that was written before under its incarnation:
    // that must not be a head which it leaves.
    if (covered.length < heads.length) this.#incarnation = chance.bytes(INCARNATION_BYTES)
    const hlc = self.nextHlc(...heads.map(head => head.stamp.hlc))
    const statement = signRecord(
      { ...init, incarnation: this.#incarnation, epoch: id, seen: pastOfAll(covered) },
      { ...self.signing(hlc), subkey: record, nodeCodecs }
    )
    if (init.body !== null) bodies.remember(statement, init.body)
    return statement
  }
}

/** True if no put may name what these heads have seen. */
export function isPastTooLong(heads: readonly EntryRecord[]): boolean {
  return pastOfAll(heads).length > SEEN_MAX
}

/** Heads in groups whose common past a delete may name. */
function groupsOf(heads: readonly EntryRecord[]): EntryRecord[][] {
  const groups: EntryRecord[][] = []
  for (const head of heads) {
    const group = groups.find(group => pastOfAll([...group, head]).length <= SEEN_OF_DELETE_MAX)
    if (group === undefined) groups.push([head])
    else group.push(head)
  }
  return groups
}
