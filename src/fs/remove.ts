import type { Records } from '../catalog/change.ts'
import { formatPath, type Path } from '../format/path.ts'
import type { PeerId } from '../format/peer-id.ts'
import { idOf } from '../format/statement.ts'
import { Acknowledgements } from './acknowledgements.ts'
import { awaited, type FsContext } from './context.ts'
import { partlyDone } from './partly-done.ts'
import { MemberPushes } from './push-to-members.ts'
import type { RemoveOptions, RemoveResult } from './types.ts'

/**
 * Deletes a file, or a directory with everything below it. Members that are offline learn of the deletion when they
 * come back. Entries that were deleted before a failure or an abort stay deleted. If there are any, a failure throws a
 * `PartlyDoneError`.
 */
export async function removePath(
  fs: FsContext,
  path: Path,
  { wait = false, ...options }: RemoveOptions & { wait?: boolean | undefined } = {}
): Promise<RemoveResult> {
  const states = removingPath(fs, path, options)
  const first = await states.next()
  let last = first.value as RemoveResult
  if (wait) for await (const state of states) last = state
  else await states.return(undefined)
  return last
}

/**
 * Deletes as `removePath` does, and yields the result, and again each time that more members have acknowledged the
 * deletion. Ends when all have, but for those that are out. A member is in `removedOn` only once it has acknowledged the
 * deletion itself.
 */
export async function* removingPath(
  fs: FsContext,
  path: Path,
  { signal, ...options }: RemoveOptions = {}
): AsyncGenerator<RemoveResult> {
  signal?.throwIfAborted()
  const pushes = new MemberPushes(fs, signal)
  const acknowledgements = new Acknowledgements(fs)
  let deleted = 0
  const onAppended = async (records: Records, entries: number): Promise<void> => {
    deleted += entries
    acknowledgements.add(records)
    await pushes.push(records)
  }
  const record = await fs.catalog.remove(path, { ...options, signal, onAppended }).catch(error => {
    throw partlyDone(error, deleted, `${deleted} of the entries below it have been removed, repeat this for the rest`)
  })
  const version = idOf(record)
  const resultFor = (acknowledged: ReadonlySet<PeerId>): RemoveResult => {
    return { path: formatPath(path), version, ...reached(fs, acknowledged), freesAt: null }
  }
  const acknowledged = new Set(await pushes.settle())
  yield resultFor(acknowledged)
  for await (const more of acknowledgements.follow(acknowledged, signal)) yield resultFor(more)
}

/** Says which members have acknowledged a deletion, which are still waited for, and which are out. */
function reached(
  fs: FsContext,
  acknowledged: ReadonlySet<PeerId>
): Pick<RemoveResult, 'removedOn' | 'waitingFor' | 'out'> {
  const { all, self, view } = fs.members
  const isOut = new Set(view.members.flatMap(member => (member.isOut ? [member.peer] : [])))
  const left = all.map(({ peer }) => peer).filter(peer => peer !== self.peerId && !acknowledged.has(peer))
  return {
    removedOn: [self.peerId, ...acknowledged],
    waitingFor: awaited(
      fs,
      left.filter(peer => !isOut.has(peer))
    ),
    out: awaited(
      fs,
      left.filter(peer => isOut.has(peer))
    )
  }
}
