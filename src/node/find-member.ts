import type { PeerId } from '../format/peer-id.ts'
import { DfsError, InvalidInputError } from '../util/errors.ts'

/** The fewest characters of a peer id that name a member. */
const ID_CHARACTERS_MIN = 6

/** No member has this name or peer id. */
export class NoSuchMemberError extends DfsError {
  override readonly name = 'NoSuchMemberError'
  override readonly code = 'not-found'

  constructor() {
    super('there is no such member: see dfs members')
  }
}

/**
 * Finds a member by its peer id, by a start or an end of it that no other member has, or by a name that only one member
 * has. Throws a `NoSuchMemberError`, and an `InvalidInputError` if it could be several.
 */
export function findMember<M extends { peer: PeerId; name: string }>(text: string, members: readonly M[]): M {
  const exact = members.find(({ peer }) => peer === text)
  if (exact !== undefined) return exact
  const named = members.filter(({ name }) => name === text)
  if (named.length > 1)
    throw new InvalidInputError(`${countOf(named)} members are named ${text}: give the start of a peer id`)
  if (named[0] !== undefined) return named[0]
  const alike =
    text.length < ID_CHARACTERS_MIN ? [] : members.filter(({ peer }) => peer.startsWith(text) || peer.endsWith(text))
  if (alike.length > 1)
    throw new InvalidInputError(`${countOf(alike)} members have a peer id like this: give more of it`)
  if (alike[0] === undefined) throw new NoSuchMemberError()
  return alike[0]
}

function countOf({ length }: readonly unknown[]): string {
  return length === 2 ? 'two' : String(length)
}
