import type { Author } from '../catalog/author.ts'
import type { Records } from '../catalog/change.ts'
import { formatPath, type Path } from '../format/path.ts'
import type { PeerId } from '../format/peer-id.ts'
import { idOf, type Statement } from '../format/statement.ts'
import { Acknowledgements } from './acknowledgements.ts'
import { awaited, type FsContext, outMembers } from './context.ts'
import { MemberPushes } from './push-to-members.ts'
import type { RemoveResult } from './types.ts'

/** The deletes of one verb: pushes them as they are appended, and says what has become of them. */
export class Removal {
  /** How many entries have been deleted. */
  count = 0
  readonly #fs: FsContext
  readonly #path: Path
  readonly #signal: AbortSignal | undefined
  readonly #pushes: MemberPushes
  readonly #acknowledgements: Acknowledgements
  #last: Statement<'entry'> | undefined
  #freesAtMs: number | undefined

  constructor(fs: FsContext, path: Path, signal: AbortSignal | undefined) {
    this.#fs = fs
    this.#path = path
    this.#signal = signal
    this.#pushes = new MemberPushes(fs, signal)
    this.#acknowledgements = new Acknowledgements(fs)
  }

  /** Must be called after each append, with its records and the number of entries that it deleted. */
  readonly onAppended = async (records: Records, entries: number): Promise<void> => {
    this.count += entries
    this.#last = records.at(-1) ?? this.#last
    this.#acknowledgements.add(records)
    await this.#noteSpace(records)
    await this.#pushes.push(records)
  }

  /** Returns a test for entries that this verb has deleted so far, as a part of a recursive removal. */
  ownSoFar(): ReturnType<Author['isOfRemoval']> {
    return this.#fs.author.isOfRemoval(this.#last)
  }

  /**
   * Yields the result once the connected members have acknowledged the deletes, or the time for that is over. Yields it
   * again each time that fewer members are left to wait for, and ends when none is. Nothing may be appended any more.
   */
  async *results(): AsyncGenerator<RemoveResult> {
    const acknowledged = new Set(await this.#pushes.settle())
    yield this.#result(acknowledged)
    for await (const more of this.#acknowledgements.follow(acknowledged, this.#signal)) yield this.#result(more)
  }

  /** Says which members have acknowledged the deletes, which are still waited for, and which are out. */
  #result(acknowledged: ReadonlySet<PeerId>): RemoveResult {
    const { members } = this.#fs
    const self = members.self.peerId
    const isOut = outMembers(members)
    const left = members.all.map(({ peer }) => peer).filter(peer => peer !== self && !acknowledged.has(peer))
    const waitingFor = left.filter(peer => !isOut.has(peer))
    const out = left.filter(peer => isOut.has(peer))
    return {
      path: formatPath(this.#path),
      version: idOf(this.#last as Statement<'entry'>),
      removedOn: [self, ...acknowledged],
      waitingFor: awaited(this.#fs, waitingFor),
      out: awaited(this.#fs, out),
      freesAt: this.#freesAtMs === undefined ? null : new Date(this.#freesAtMs)
    }
  }

  /**
   * Notes when the space of the last of these files returns. All are kept equally long from their deletes on, so what was
   * deleted last is kept the longest.
   */
  async #noteSpace(records: Records): Promise<void> {
    const file = records.findLast(({ fields }) => fields.op === 'delete' && fields.body === undefined)
    const atMs = file === undefined ? null : await this.#fs.catalog.versions.freesAtMs(file.fields.id)
    if (atMs !== null) this.#freesAtMs = Math.max(this.#freesAtMs ?? atMs, atMs)
  }
}
