import { BlockList, isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { z } from 'zod'
import { type IndexDb, indexKey } from '../disk/index-db.ts'
import { TABLES } from '../disk/tables.ts'
import { ADDRESS_BYTES_MAX, ADDRESSES_MAX } from '../format/constants.ts'
import type { PeerId } from '../format/peer-id.ts'
import { utf8 } from '../util/bytes.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { ipIn } from '../wire/origin.ts'

const rowSchema = z.array(z.string()).max(ADDRESSES_MAX)

/**
 * The addresses at which members were last reached, kept across restarts. The addresses that members state themselves
 * are in the log.
 */
export class AddressBook {
  readonly #index: IndexDb
  readonly #log: Logger

  constructor(index: IndexDb, logger: ComponentLogger) {
    this.#index = index
    this.#log = logger.forComponent('dfs:members:dial')
  }

  async all(): Promise<Array<{ peer: PeerId; addresses: string[] }>> {
    const table = indexKey(TABLES.addresses)
    const rows: Array<{ peer: PeerId; addresses: string[] }> = []
    for await (const { key, value } of this.#index.range(table)) {
      const addresses = this.#parse(value)
      if (addresses.length > 0) rows.push({ peer: Buffer.from(key.subarray(1)).toString('utf8'), addresses })
    }
    return rows
  }

  /** Puts an address in front of a member's known addresses. */
  async remember(peer: PeerId, address: string): Promise<void> {
    const key = indexKey(TABLES.addresses, utf8(peer))
    const before = await this.#index.get(key)
    const known = before === undefined ? [] : this.#parse(before)
    if (known[0] === address) return
    const addresses = [address, ...known.filter(other => other !== address)].slice(0, ADDRESSES_MAX)
    await this.#index.batch([{ type: 'put', key, value: utf8(JSON.stringify(addresses)) }])
  }

  /** Returns the addresses in a row. A row that cannot be parsed is treated as empty. */
  #parse(value: Uint8Array): string[] {
    try {
      return rowSchema.parse(JSON.parse(Buffer.from(value).toString('utf8')))
    } catch (error) {
      this.#log('a row of the address book cannot be read, treating it as empty: %s', reasonOf(error))
      return []
    }
  }
}

/**
 * Returns the addresses that we state to others. Loopback addresses are stated only if there are no others, because on
 * another machine they lead to that machine itself.
 */
export function shareableAddresses(addresses: readonly string[]): string[] {
  // Nobody can dial an IPv6 address of one link.
  const usable = addresses.filter(
    address => Buffer.byteLength(address) <= ADDRESS_BYTES_MAX && !address.startsWith('/ip6/fe80:')
  )
  return beyondLoopback(usable).slice(0, ADDRESSES_MAX)
}

/**
 * Returns those of the addresses that are in a subnet of this machine. mDNS needs this filter, because anyone on the
 * LAN may announce anything. Loopback counts as one of our subnets, so that nodes on one machine find each other. But a
 * loopback address is returned only if there is no other: libp2p announces every address, and the loopback address of
 * another machine would lead to this one.
 */
export function onOurSubnets(addresses: readonly string[], interfaces = networkInterfaces()): string[] {
  const subnets = new BlockList()
  for (const { cidr } of Object.values(interfaces).flatMap(list => list ?? [])) {
    const [network, prefix] = cidr?.split('/') ?? []
    if (network !== undefined) subnets.addSubnet(network, Number(prefix), familyOf(network))
  }
  return beyondLoopback(
    addresses.filter(address => {
      const ip = ipIn(address)
      return isIP(ip) !== 0 && subnets.check(ip, familyOf(ip))
    })
  )
}

/** Returns the addresses without those of loopback, or all of them if there are no others. */
function beyondLoopback(addresses: string[]): string[] {
  const beyond = addresses.filter(address => !isLoopback(address))
  return beyond.length > 0 ? beyond : addresses
}

function familyOf(ip: string): 'ipv4' | 'ipv6' {
  return isIP(ip) === 6 ? 'ipv6' : 'ipv4'
}

function isLoopback(address: string): boolean {
  return address.startsWith('/ip4/127.') || address.startsWith('/ip6/::1/')
}
