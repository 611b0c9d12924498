import type { FsContext } from '../fs/context.ts'
import { roughDuration } from '../util/rough-duration.ts'

/** The most members that are named one by one. */
const NAMED_MAX = 3

type Seen = Pick<FsContext, 'members' | 'lastSeen' | 'clock'>

/**
 * Yields a sentence for each member that stays away and of which only an admin can say that it is out. Until then the
 * copies that it owes are not made by others. The command has the end of the peer id, since names are not unique.
 */
export function* absencesOf({ members, lastSeen, clock }: Seen): Generator<string> {
  const { undecided, admitted, self } = members
  // Then it is just as likely that this machine has no network.
  const isAlone = admitted.length === 0 && undecided.length > 1
  const condition = isAlone
    ? 'if this machine is not cut off itself and that one will not come back'
    : 'if it will not come back'
  const where = self.role === 'admin' ? '' : " on an admin's machine"
  for (const { peer, name } of undecided.slice(0, NAMED_MAX)) {
    const seen = lastSeen(peer)
    const away = seen === null ? '' : ` for ${roughDuration(clock.now() - seen.getTime())}`
    const id = peer.slice(-8)
    yield `${name} (…${id}) has been away${away} and is still waited for, because half of the members or more are away: ${condition}, run dfs members out ${id}${where}`
  }
  const more = undecided.length - NAMED_MAX
  if (more > 0) yield `more members are away and still waited for (${more}): see dfs peers --all`
}
