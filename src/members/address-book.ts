import { BlockList, isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { z } from 'zod'
import { type IndexDb, indexKey } from '../disk/index-db.ts'
import { TABLES } from '../disk/tables.ts'
import type { PeerId } from '../format/peer-id.ts'
import { utf8 } from '../util/bytes.ts'
import { ADDRESSES_MAX } from '../wire/constants.ts'
import { ADDRESS_LENGTH_MAX } from './constants.ts'

const rowSchema = z.array(z.string()).max(ADDRESSES_MAX)

/** Addresses at which members were last reached, remembered across restarts; what they state themselves is in the log. */
export class AddressBook {
  readonly #index: IndexDb

  constructor(index: IndexDb) {
    this.#index = index
  }

  async all(): Promise<Array<{ peer: PeerId; addresses: string[] }>> {
    const table = indexKey(TABLES.addresses)
    const rows: Array<{ peer: PeerId; addresses: string[] }> = []
    for await (const { key, value } of this.#index.range(table)) {
      const addresses = parseRow(value)
      if (addresses.length > 0) rows.push({ peer: Buffer.from(key.subarray(1)).toString('utf8'), addresses })
    }
    return rows
  }

  async remember(peer: PeerId, address: string): Promise<void> {
    const key = indexKey(TABLES.addresses, utf8(peer))
    const before = await this.#index.get(key)
    const known = before === undefined ? [] : parseRow(before)
    if (known[0] === address) return
    const addresses = [address, ...known.filter(other => other !== address)].slice(0, ADDRESSES_MAX)
    await this.#index.batch([{ type: 'put', key, value: utf8(JSON.stringify(addresses)) }])
  }
}

function parseRow(value: Uint8Array): string[] {
  try {
    return rowSchema.parse(JSON.parse(Buffer.from(value).toString('utf8')))
  } catch {
    return []
  }
}

/**
 * Addresses worth telling others: loopback only where there is nothing else, since on another machine it would lead to
 * that machine itself.
 */
export function shareableAddresses(addresses: readonly string[]): string[] {
  const usable = addresses.filter(address => address.length <= ADDRESS_LENGTH_MAX)
  const beyond = usable.filter(address => !isLoopback(address))
  return (beyond.length > 0 ? beyond : usable).slice(0, ADDRESSES_MAX)
}

/**
 * Of addresses that came by mDNS those of a network this machine is in: anyone on the LAN may announce anything. Loopback
 * counts as one, for nodes on one machine.
 */
export function onOurSubnets(addresses: readonly string[], interfaces = networkInterfaces()): string[] {
  const subnets = new BlockList()
  for (const { cidr } of Object.values(interfaces).flatMap(list => list ?? [])) {
    const [network, prefix] = cidr?.split('/') ?? []
    if (network !== undefined) subnets.addSubnet(network, Number(prefix), familyOf(network))
  }
  return addresses.filter(address => {
    const ip = ipIn(address)
    return isIP(ip) !== 0 && subnets.check(ip, familyOf(ip))
  })
}

/**
 * What is one address where strangers are counted: an IPv4 address, the upper half of an IPv6 one, since whoever has any
 * has 2^64 of them, unless it reaches no further than the link. Anything else is one as it is.
 */
export function originOf(address: string): string {
  const ip = ipIn(address)
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)?.[1]
  if (mapped !== undefined) return mapped
  if (isIP(ip) !== 6 || /^fe80:/i.test(ip)) return ip || address
  const [left = [], right = []] = ip.split('::').map(half => half.split(':').filter(group => group !== ''))
  const groups = [...left, ...new Array<string>(8 - left.length - right.length).fill('0'), ...right]
  return `${groups
    .slice(0, 4)
    .map(group => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}

function ipIn(address: string): string {
  return /^(?:\/ip6zone\/[^/]+)?\/ip[46]\/([^/]+)(?:\/|$)/.exec(address)?.[1] ?? ''
}

function familyOf(ip: string): 'ipv4' | 'ipv6' {
  return isIP(ip) === 6 ? 'ipv6' : 'ipv4'
}

function isLoopback(address: string): boolean {
  return address.startsWith('/ip4/127.') || address.startsWith('/ip6/::1/')
}
