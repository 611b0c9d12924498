import type { PeerId } from '../format/peer-id.ts'
import { UnknownMemberError } from '../members/errors.ts'
import { InvalidInputError } from '../util/errors.ts'

/** The fewest characters of a peer id that name a member. */
const ID_CHARACTERS_MIN = 6

/**
 * Finds a member by its peer id, by a start or an end of it that no other member has, or by a name that only one member
 * has. Members choose their names, so a name that is also a part of another member's id finds neither of the two.
 * Throws an `UnknownMemberError`, and an `InvalidInputError` if it fits several.
 */
export function findMember<M extends { peer: PeerId; name: string }>(text: string, members: readonly M[]): M {
  const exact = members.find(({ peer }) => peer === text)
  if (exact !== undefined) return exact
  const isPartOf = (peer: PeerId): boolean =>
    text.length >= ID_CHARACTERS_MIN && (peer.startsWith(text) || peer.endsWith(text))
  const [found, ...others] = members.filter(({ peer, name }) => name === text || isPartOf(peer))
  if (found === undefined) throw new UnknownMemberError('there is no such member: see dfs members')
  if (others.length === 0) return found
  const all = [found, ...others]
  const count = all.length === 2 ? 'two' : String(all.length)
  // The message does not repeat the name, because it may reach a log.
  if (all.every(({ name }) => name === text))
    throw new InvalidInputError(`${count} members have this name: give the start of a peer id`)
  throw new InvalidInputError(`${count} members have a peer id or a name like this: give more of the peer id`)
}
