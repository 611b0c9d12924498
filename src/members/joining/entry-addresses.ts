import type { Host } from '../../wire/host.ts'
import { shareableAddresses } from '../address-book.ts'
import { type Authority, isWriter } from '../authority.ts'
import type { LocalMember } from '../local-member.ts'
import type { Statuses } from '../statuses.ts'

export interface EntryAddressesOptions {
  host: Pick<Host, 'addresses'>
  self: LocalMember
  roster: Pick<Authority, 'members'>
  statuses: Pick<Statuses, 'of'>
}

/** Returns addresses at which members answer that may let machines in, as multiaddr text. Our own come first. */
export function entryAddresses({ host, self, roster, statuses }: EntryAddressesOptions): string[] {
  const others = roster.members
    .filter(({ peer, role }) => isWriter(role) && peer !== self.peerId)
    .flatMap(({ peer }) => statuses.of(peer)?.fields.addresses ?? [])
  return [...new Set([...shareableAddresses(host.addresses()), ...others])]
}
