import type { Content } from './contents.ts'

/** Directories that are moved into each other could have endless paths. No machine shows paths longer than this. */
const PLACE_PARTS_MAX = 8

/** How a verb ended. `refused` means that it had no effect, and `unknown` that it may have had its effect. */
export type Outcome = 'pending' | 'ok' | 'refused' | 'unknown'

/** What a machine showed: the tag of the file at each path. */
export type Shown = ReadonlyMap<string, string>

/** One verb that a machine was asked for. Times are those of the simulated world. */
export interface Verb {
  n: number
  kind: 'put' | 'rm' | 'mv' | 'cp'
  machine: string
  path: string
  /** Where `mv` and `cp` go. */
  to?: string
  recursive?: boolean
  noClobber?: boolean
  ifTag?: string | null
  content?: Content
  startMs: number
  endMs: number
  outcome: Outcome
  /** What the machine showed at the paths of this verb when it began; undefined if it could not say. */
  saw: Shown | undefined
  /**
   * If the path is that of a conflict which is a file of its own: the paths of the other contents of this file. The verb
   * replaces or removes the file with all its contents.
   */
  beside?: ReadonlySet<string>
  /** The members that a put says it has reached. */
  reached?: readonly string[]
  /** The number of copies at the moment of the acknowledgement: the least over the blocks. */
  copies?: number
}

/**
 * Determines what may have become of each file. It judges from outside: by the verbs that were requested, their
 * answers, and what their machines showed when they began. It knows nothing of records and heads. When in doubt, it
 * reports no fault.
 */
export class Model {
  readonly verbs: Verb[] = []
  /** The machines whose disks lost something for good, and the time of the loss. */
  readonly destroyed = new Map<string, number>()
  readonly #placesFrom = new Map<string, ReadonlySet<string>>()

  get puts(): Verb[] {
    return this.verbs.filter(({ kind }) => kind === 'put')
  }

  /** Returns the verb that may have replaced or removed what a put stored; undefined if there is none. */
  excuseFor(put: Verb): Verb | undefined {
    const places = this.placesOf(put)
    return this.verbs.find(verb => this.#mayEnd(verb, put, places))
  }

  /** Returns true if so much was destroyed that a file may be lost. */
  isBeyondRepair(put: Verb): boolean {
    const { reached = [], copies = 1, content } = put
    const hit = [...this.destroyed].filter(([, atMs]) => atMs >= put.startMs)
    // A block may be on any machine, and a file without blocks is only where its put says that it is.
    const lost = content?.blocks.length === 0 ? hit.filter(([peer]) => reached.includes(peer)) : hit
    return lost.length >= copies
  }

  /** Returns an acknowledged verb after which the file of a put must not show again; undefined if there is none. */
  endOf(put: Verb): Verb | undefined {
    const { tag } = put.content as Content
    if (this.#mayBeCopied(put)) return undefined
    return this.verbs.find(verb => {
      if (verb.outcome !== 'ok' || verb === put || verb.saw === undefined || hasConflict(verb.path)) return false
      if ([...this.destroyed.values()].some(atMs => atMs >= verb.startMs)) return false
      const isExact = (verb.kind === 'put' || verb.kind === 'rm') && verb.saw.get(verb.path) === tag
      const isUnder = verb.kind === 'rm' && verb.recursive === true && [...verb.saw.values()].includes(tag)
      if (!isExact && !isUnder) return false
      return !this.verbs.some(other => this.#disturbs(other, verb, put))
    })
  }

  /**
   * Returns two verbs of one machine that both succeeded, although each of them would have left nothing for the other
   * to do; undefined if there are none.
   */
  doubleYes(): [Verb, Verb] | undefined {
    const oks = this.verbs.filter(({ outcome, saw }) => outcome === 'ok' && saw !== undefined)
    for (const [i, a] of oks.entries())
      for (const b of oks.slice(i + 1))
        if (a.machine === b.machine && a.path === b.path && this.#exclude(a, b)) return [a, b]
    return undefined
  }

  /** Returns true if the two cannot both have had their effect. */
  #exclude(a: Verb, b: Verb): boolean {
    const tag = a.saw?.get(a.path)
    if (tag === undefined || hasConflict(a.path) || b.saw?.get(b.path) !== tag) return false
    if (this.verbs.some(({ kind, outcome }) => kind === 'cp' && outcome !== 'refused')) return false
    const isGuarded = (verb: Verb): boolean => verb.ifTag === tag && (verb.kind === 'put' || verb.kind === 'rm')
    if (isGuarded(a) && isGuarded(b)) return true
    const takesAway = (verb: Verb): boolean => verb.kind === 'rm' || (verb.kind === 'mv' && !brings(verb, verb.path))
    if (!takesAway(a) || !takesAway(b) || a.recursive === true || b.recursive === true) return false
    // Another file may have arrived at the path in between.
    return !this.verbs.some(
      other =>
        other !== a && other !== b && other.content?.tag !== tag && other.startMs <= b.endMs && brings(other, a.path)
    )
  }

  /** Every path at which the file of a put may have been shown. All verbs must have ended. */
  placesOf(put: Verb): ReadonlySet<string> {
    const first = plain(put.path)
    const places = this.#placesFrom.get(first) ?? this.#moveFrom(first)
    this.#placesFrom.set(first, places)
    return places
  }

  #moveFrom(first: string): ReadonlySet<string> {
    const verbs = this.verbs.filter(({ kind, outcome }) => (kind === 'mv' || kind === 'cp') && outcome !== 'refused')
    const moves = verbs.map(({ path, to = '' }) => ({
      from: plain(path),
      to: plain(to),
      into: `${plain(to)}/${nameOf(plain(path))}`
    }))
    // Directories whose parents are gone, or that are in a cycle, are shown at the top.
    const mayRise = verbs.some(({ saw }) => saw === undefined || saw.size !== 1)
    // The loop also visits what is added to the set meanwhile.
    const places = new Set([first])
    for (const place of places) {
      for (const { from, to, into } of moves) {
        if (place !== from && !place.startsWith(`${from}/`)) continue
        const rest = place.slice(from.length)
        for (const moved of [to + rest, into + rest]) if (moved.split('/').length <= PLACE_PARTS_MAX) places.add(moved)
      }
      if (!mayRise) continue
      for (let at = place.indexOf('/', 1); at > 0; at = place.indexOf('/', at + 1)) places.add(place.slice(at))
    }
    return places
  }

  #mayEnd(verb: Verb, put: Verb, places: ReadonlySet<string>): boolean {
    if (verb === put || verb.outcome === 'refused' || verb.noClobber === true || verb.ifTag === null) return false
    if (verb.endMs < put.startMs || this.#wasSeenAfter(verb, put)) return false
    const { tag } = put.content as Content
    const seenAt =
      verb.saw === undefined ? [] : [...verb.saw].filter(([, shown]) => shown === tag).map(([path]) => path)
    const hit = seenAt.filter(path => this.#reaches(verb, path))
    if (hit.length > 0) {
      if (this.#wasMovedOut(verb, put)) return false
      if (typeof verb.ifTag === 'string') return verb.ifTag === tag || hit.some(path => path !== verb.path)
      return true
    }
    if (seenAt.length > 0 && verb.saw !== undefined) return false
    // It may have arrived at the path while the verb was under way.
    if (hasConflict(verb.path) && verb.kind !== 'mv' && verb.kind !== 'cp')
      return verb.path === put.path || places.has(verb.path)
    if (![...places].some(place => this.#reaches(verb, place))) return false
    if (typeof verb.ifTag !== 'string') return true
    // The tag says nothing about the conflicts beside it, which a write ends too.
    return hasConflict(put.path) || !this.#isNewerThan(put, verb.ifTag)
  }

  /**
   * Returns true if a verb did not end the file of a put, because a machine that knew of the verb still showed the file:
   * the verb's own machine afterwards, or any that showed the two beside each other. A copy would show the same.
   */
  #wasSeenAfter(verb: Verb, put: Verb): boolean {
    const { tag } = put.content as Content
    if (this.destroyed.size > 0 || this.#mayBeCopied(put)) return false
    return this.verbs.some(({ machine, startMs, saw }) => {
      const shown = [...(saw?.values() ?? [])]
      if (!shown.includes(tag)) return false
      const isOwn = machine === verb.machine && verb.outcome === 'ok' && startMs > verb.endMs
      return isOwn || (verb.content !== undefined && shown.includes(verb.content.tag))
    })
  }

  /** Returns true if a verb removes or replaces what is at a path. */
  #reaches(verb: Verb, path: string): boolean {
    const at = plain(path)
    if (verb.kind === 'mv' || verb.kind === 'cp') {
      const { path: from, to = '' } = verb
      // A copy onto itself writes once more what was there when it began.
      const isOnItself = verb.kind === 'cp' && to === from
      if (!isOnItself && (path === from || path.startsWith(`${from}/`))) return false
      if (at === plain(to) || at === `${plain(to)}/${nameOf(plain(from))}`) return true
      // A copy of a directory merges with the target, and replaces file by file.
      return verb.kind === 'cp' && at.startsWith(`${plain(to)}/`)
    }
    if (hasConflict(verb.path))
      return (
        path === verb.path ||
        verb.beside?.has(path) === true ||
        (verb.recursive === true && path.startsWith(`${verb.path}/`))
      )
    return at === plain(verb.path) || (verb.recursive === true && at.startsWith(`${plain(verb.path)}/`))
  }

  /** Returns true if a move on the same machine says that it has taken the file out of what a verb removes. */
  #wasMovedOut(verb: Verb, put: Verb): boolean {
    const { tag } = put.content as Content
    if (verb.kind !== 'rm') return false
    return this.verbs.some(
      move =>
        move.kind === 'mv' &&
        move.outcome === 'ok' &&
        move.machine === verb.machine &&
        overlap(move, verb) &&
        move.saw?.get(move.path) === tag &&
        this.#metNoOther(move, verb) &&
        !this.#reaches(verb, move.to as string) &&
        !this.#reaches(verb, `${move.to}/${nameOf(move.path)}`)
    )
  }

  /**
   * Returns false if a move may have affected another file than the one that it saw: one in conflict, or one that
   * arrived meanwhile.
   */
  #metNoOther(move: Verb, verb: Verb): boolean {
    const shown = [...(move.saw ?? [])].filter(([path]) => plain(path) === plain(move.path))
    return (
      shown.length === 1 && !this.verbs.some(o => o !== move && o !== verb && overlap(o, move) && brings(o, move.path))
    )
  }

  /** Returns true if a put certainly came later than the one with this tag. */
  #isNewerThan(put: Verb, tag: string): boolean {
    const other = this.puts.find(({ content }) => content?.tag === tag)
    return other !== undefined && put.startMs > other.endMs
  }

  #mayBeCopied(put: Verb): boolean {
    const copies = this.verbs.filter(({ kind, outcome }) => kind === 'cp' && outcome !== 'refused')
    if (copies.length === 0) return false
    const places = [...this.placesOf(put)]
    return copies.some(({ path }) => places.some(place => place === plain(path) || place.startsWith(`${plain(path)}/`)))
  }

  /** Returns true if another verb may have made this verb affect another file than the one that it saw. */
  #disturbs(other: Verb, verb: Verb, put: Verb): boolean {
    if (other === verb || other === put || other.outcome === 'refused') return false
    if (other.startMs > verb.endMs) return false
    if (other.machine === verb.machine && other.endMs < verb.startMs) return false
    if (other.kind === 'put' && verb.saw !== undefined && other.content !== undefined)
      if ([...verb.saw.values()].includes(other.content.tag)) return false
    if (other.kind !== 'put') return other.machine === verb.machine || other.kind === 'mv'
    return plain(other.path) === plain(verb.path) || plain(other.path).startsWith(`${plain(verb.path)}/`)
  }
}

/** Returns a path without the suffixes of conflicts. */
export function plain(path: string): string {
  return path.replace(/ \(conflict [0-9a-f]+\)/g, '')
}

export function hasConflict(path: string): boolean {
  return path !== plain(path)
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** Returns true if a verb may have put something at a path. */
function brings({ kind, outcome, path, to }: Verb, at: string): boolean {
  if (kind === 'rm' || outcome === 'refused') return false
  const places = to === undefined ? [plain(path)] : [plain(to), `${plain(to)}/${nameOf(plain(path))}`]
  return places.some(place => plain(at) === place || plain(at).startsWith(`${place}/`))
}

function overlap(a: Verb, b: Verb): boolean {
  return a.startMs <= b.endMs && b.startMs <= a.endMs
}
