import type { Records } from '../catalog/change.ts'
import { formatPath, type Path } from '../format/path.ts'
import type { PeerId } from '../format/peer-id.ts'
import { idOf } from '../format/statement.ts'
import { AWAY_MS } from './constants.ts'
import { awaited, type FsContext } from './context.ts'
import { partlyDone } from './partly-done.ts'
import { MemberPushes } from './push-to-members.ts'
import type { AbortOptions, RemoveResult } from './types.ts'

export interface RemoveOptions extends AbortOptions {
  recursive?: boolean | undefined
  ifTag?: string | undefined
}

/**
 * Deletes a file, or a directory with everything below it. Members that are offline learn of the deletion when they
 * come back. A member is in `removedOn` only once it has acknowledged the deletion, and in `waitingFor` only if it was
 * seen within the last hour and is not out. The blocks stay on disk, since older versions are kept. Entries that were deleted before a failure or an abort stay deleted. If there are any, a
 * failure throws a `PartlyDoneError`.
 */
export async function removePath(fs: FsContext, path: Path, options: RemoveOptions = {}): Promise<RemoveResult> {
  const { recursive, ifTag, signal } = options
  signal?.throwIfAborted()
  const pushes = new MemberPushes(fs, signal)
  let deleted = 0
  const onAppended = async (records: Records, entries: number): Promise<void> => {
    deleted += entries
    await pushes.push(records)
  }
  const record = await fs.catalog.remove(path, { recursive, ifTag, signal, onAppended }).catch(error => {
    throw partlyDone(error, deleted, `${deleted} of the entries below it have been removed, repeat this for the rest`)
  })
  const self = fs.members.self.peerId
  const removedOn = [self, ...(await pushes.settle())]
  const peers = fs.members.all.map(({ peer }) => peer)
  const waitingFor = awaited(
    fs,
    peers.filter(peer => !removedOn.includes(peer) && isExpected(peer, fs))
  )
  return { path: formatPath(path), version: idOf(record), removedOn, waitingFor, freesAt: null }
}

/** Returns true unless a member is out, or has been away for so long that nobody expects it back soon. */
function isExpected(peer: PeerId, { members, lastSeen, clock }: FsContext): boolean {
  if (members.isAdmitted(peer)) return true
  if (members.view.members.some(shown => shown.peer === peer && shown.isOut)) return false
  const seen = lastSeen(peer)
  return seen !== null && clock.now() - seen.getTime() < AWAY_MS
}
