import { hash } from 'node:crypto'
import { SEEN_MAX, SEEN_OF_DELETE_MAX } from '../format/constants.ts'
import { type EntryBody, type EntryRecord, type RecordInit, signRecord } from '../format/entry.ts'
import { compareStamps } from '../format/stamp.ts'
import type { Statement } from '../format/statement.ts'
import { NotAllowedError } from '../members/errors.ts'
import type { Epoch, KeyRing } from '../members/key-ring.ts'
import type { LocalMember } from '../members/local-member.ts'
import { concatBytes, equalBytes } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { Bodies } from './bodies.ts'
import { NO_KEY, NoKeyError } from './errors.ts'
import { type EntryState, pastOfAll, type Shown } from './heads.ts'
import { isRemoval, markedAs, newIncarnation, newRemovalIncarnation } from './incarnations.ts'

export interface AuthorOptions {
  self: LocalMember
  keys: KeyRing
  chance: Chance
  bodies: Pick<Bodies, 'remember'>
  /** The codecs that manifest nodes may have. */
  nodeCodecs: readonly number[]
}

/** The content of a file that a put has stored. */
export interface Content {
  /** The bytes of the root's CID, or the siv of inline content. */
  root: Uint8Array
  /** The epoch whose key sealed it. */
  rootEpoch: Uint8Array
  size: number
  mtime: number
  mode?: number | undefined
  type?: string | undefined
  /** The key that opens the root block. */
  key?: Uint8Array | undefined
  /** The content itself, if it is inline. */
  content?: Uint8Array | undefined
  props?: Record<string, unknown> | undefined
  /** The id that the file had before, if it goes on under a new one. */
  continues?: Uint8Array | undefined
}

/** The heads of an entry that has no records yet. */
const NO_HEADS = { heads: [], older: 0 }

/** Where an entry is placed. */
export interface Placement {
  parent: Uint8Array
  name: string
}

export interface WriteInit {
  state: EntryState
  shown: Shown
  at: Placement
  content: Content
  replicas: number
}

/** What a delete does to the versions that it covers, besides deleting the entry: see `DeleteInit`. */
export type VersionEnd = 'purge' | 'cancel'

/** The heads that a delete covers, and what it says. */
export interface DeleteInit {
  covered: readonly EntryRecord[]
  /** The body of the record that places the entry. */
  body: EntryBody | undefined
  /** `purge` also ends the versions. `cancel` brings those back that an earlier delete would have ended. */
  ends?: VersionEnd | undefined
  /** The incarnation that all deletes of one recursive removal share, so that it can be undone as a whole. */
  removal?: Uint8Array | undefined
}

/**
 * Signs this member's records. SPEC.md has the rules about what a record has seen and what it keeps; only this file
 * applies them.
 */
export class Author {
  readonly #options: AuthorOptions
  #incarnation: Uint8Array

  constructor(options: AuthorOptions) {
    this.#options = options
    // The incarnation is drawn again at each start. A member restored from a backup has lost some of its own records.
    // If it kept its old incarnation, its next record would cover them without having seen them. The incarnation may be
    // drawn long before it is used, since no record has it until the first write.
    this.#incarnation = newIncarnation(options.chance)
  }

  /**
   * The epoch in which new content is sealed. Throws a `NotAllowedError` if this member may have no key, and a
   * `NoKeyError` if none has reached it yet.
   */
  get epoch(): Epoch {
    const { keys, self } = this.#options
    const epoch = keys.newest
    if (epoch !== undefined) return epoch
    if (self.role !== 'storage') throw new NoKeyError(NO_KEY)
    throw new NotAllowedError('this machine is a storage member: it holds what others store and can read nothing')
  }

  /** True if this member may have a key, and none has reached it yet. */
  get waitsForKey(): boolean {
    const { keys, self } = this.#options
    return keys.newest === undefined && self.role !== 'storage'
  }

  createFile(entry: Uint8Array, at: Placement, content: Content, replicas: number): Statement<'entry'> {
    const { root, rootEpoch, ...rest } = content
    return this.create(entry, { ...at, kind: 'file', ...rest }, { root, rootEpoch, replicas })
  }

  createDirectory(entry: Uint8Array, at: Placement, mtime: number, replicas: number): Statement<'entry'> {
    const body: EntryBody = { ...at, kind: 'directory', size: 0, mtime }
    return this.create(entry, body, { root: null, rootEpoch: null, replicas })
  }

  /** Signs the first record of an entry of any kind. */
  create(
    entry: Uint8Array,
    body: EntryBody,
    { root, rootEpoch, replicas }: Pick<EntryRecord, 'root' | 'rootEpoch' | 'replicas'>
  ): Statement<'entry'> {
    return this.#sign(NO_HEADS, [], { entry, op: 'put', placed: null, written: null, root, rootEpoch, replicas, body })
  }

  /**
   * Signs new content for an entry that keeps its place. The past of the heads must not be too long: the caller then has
   * to continue the entry under a new id.
   */
  write({ state, shown, at, content, replicas }: WriteInit): Statement<'entry'> {
    const { root, rootEpoch, ...rest } = content
    return this.#sign(state, state.heads, {
      entry: shown.place.entry,
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
   * Signs a new place for an entry that keeps its content. The record carries the content of one head and has seen no
   * other, so that a conflict stays visible. The past of that head must not be too long.
   */
  move(state: EntryState, carried: EntryRecord, body: EntryBody, at: Placement): Statement<'entry'> {
    return this.#sign(state, [carried], {
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

  /**
   * Signs a new place for a directory that was deleted and shows again. This is a write: it has seen every head, so the
   * directory is not deleted any more. A move would carry the content of the delete, which wrote none, so it would wait
   * unless its author also signed the delete. The past of the heads must not be too long.
   */
  restore(state: EntryState, at: Placement, body: EntryBody): Statement<'entry'> {
    const [{ entry }] = state.heads as [EntryRecord]
    const fields = { placed: null, written: null, root: null, rootEpoch: null, replicas: 1 }
    return this.#sign(state, state.heads, { entry, op: 'put', ...fields, body: { ...body, ...at } })
  }

  /** Signs content for a deleted file, at the place that is given. The past of the heads must not be too long. */
  restoreFile({ state, at, content, replicas }: Omit<WriteInit, 'shown'>): Statement<'entry'> {
    const [{ entry }] = state.heads as [EntryRecord]
    const { root, rootEpoch, ...rest } = content
    const fields = { placed: null, written: null, root, rootEpoch, replicas }
    return this.#sign(state, state.heads, { entry, op: 'put', ...fields, body: { ...at, kind: 'file', ...rest } })
  }

  /** Draws an incarnation for the deletes of one recursive removal. */
  newRemoval(): Uint8Array {
    return newRemovalIncarnation(this.#options.chance)
  }

  /**
   * Returns a test for the entries that show a delete of one recursive removal by this member, and nothing else. `record`
   * is any record of the removal. For a delete of another kind, no entry passes.
   */
  isOfRemoval(record: Statement<'entry'> | undefined): (state: Pick<EntryState, 'heads' | 'older'>) => boolean {
    const { publicKey } = this.#options.self
    const incarnation = record?.fields.incarnation
    return ({ heads: [head, second], older }) => {
      if (incarnation === undefined || !isRemoval(incarnation)) return false
      if (head?.op !== 'delete' || second !== undefined || older > 0) return false
      return equalBytes(head.stamp.incarnation, incarnation) && equalBytes(head.stamp.author, publicKey)
    }
  }

  /**
   * Returns the incarnation for a delete that takes the place of other deletes. Everything that one recursive removal
   * took must still have one author and one incarnation, so that it can be restored as a whole. For a removal of this
   * member, the incarnation stays the same. For a removal of another member, a new one is computed from it.
   */
  removalAfter(heads: readonly EntryRecord[]): Uint8Array | undefined {
    const { publicKey } = this.#options.self
    const deletes = heads.filter(({ op }) => op === 'delete').map(({ stamp }) => stamp)
    const own = deletes.find(({ author }) => equalBytes(author, publicKey))
    const last = own ?? deletes.sort(compareStamps).at(-1)
    if (last === undefined || last === own) return own?.incarnation
    return markedAs(last.incarnation, hash('sha256', concatBytes(last.author, last.incarnation), 'buffer'))
  }

  /**
   * Signs the delete of some heads of an entry. This takes several records if the heads together have seen more than one
   * record may name. A head that alone has seen that much is left out: it is a delete, and needs no other.
   */
  delete({ heads, older }: EntryState, { covered, body, ends, removal }: DeleteInit): Array<Statement<'entry'>> {
    const kept =
      body?.kind === 'directory'
        ? { parent: body.parent, name: body.name, kind: body.kind, size: 0, mtime: body.mtime }
        : null
    const said = { purge: ends === 'purge', cancel: ends === 'cancel' }
    const fields = {
      op: 'delete',
      placed: null,
      written: null,
      root: null,
      rootEpoch: null,
      replicas: 1,
      ...said
    } as const
    return groupsOf(covered).map(group =>
      this.#sign({ heads, older }, group, { entry: (group[0] as EntryRecord).entry, ...fields, body: kept }, removal)
    )
  }

  /** Signs a record that covers some of the heads. If it covers all of them, it may have an incarnation of its own. */
  #sign(
    { heads, older }: Pick<EntryState, 'heads' | 'older'>,
    covered: readonly EntryRecord[],
    init: Omit<RecordInit, 'incarnation' | 'epoch' | 'seen'>,
    own?: Uint8Array
  ): Statement<'entry'> {
    const { self, chance, bodies, nodeCodecs } = this.#options
    const { id, record } = this.epoch
    // An author that has seen this record names its stamp, and thereby covers everything that was written before it
    // under the same incarnation. That must not include a head that this record does not cover, so draw a new
    // incarnation.
    const isPartial = covered.length < heads.length + older
    if (isPartial) this.#incarnation = newIncarnation(chance)
    const incarnation = isPartial ? this.#incarnation : (own ?? this.#incarnation)
    // The stamp need not follow our own last stamp. Otherwise one jump of our clock would move everything that we sign
    // later into the future.
    const hlc = self.nextHlc(...heads.map(head => head.stamp.hlc))
    const statement = signRecord(
      { ...init, incarnation, epoch: id, seen: pastOfAll(covered) },
      { ...self.signing(hlc), subkey: record, nodeCodecs }
    )
    if (init.body !== null) bodies.remember(statement, init.body)
    return statement
  }
}

/** Returns true if these heads together have seen more than a put may name. */
export function isPastTooLong(heads: readonly EntryRecord[]): boolean {
  return pastOfAll(heads).length > SEEN_MAX
}

/** Splits heads into groups, so that one delete can name the combined past of each group. */
function groupsOf(heads: readonly EntryRecord[]): EntryRecord[][] {
  const groups: EntryRecord[][] = []
  const fits = (group: readonly EntryRecord[]): boolean => pastOfAll(group).length <= SEEN_OF_DELETE_MAX
  for (const head of heads) {
    if (!fits([head])) continue
    const group = groups.find(group => fits([...group, head]))
    if (group === undefined) groups.push([head])
    else group.push(head)
  }
  return groups
}
