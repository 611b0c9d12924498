import { BlockList, isIP } from 'node:net'

/**
 * Returns the address under which the strangers from one host are counted. For IPv4 this is the whole address. For IPv6
 * it is the upper half, because a host that has one such address has 2^64 of them. Link-local addresses are returned
 * whole. Any other text is returned unchanged.
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

/** Loopback, link-local and private networks: RFC 1122, 1918, 3927, 4193 and 4291. One list would mix the families. */
const PRIVATE = { ipv4: new BlockList(), ipv6: new BlockList() }
PRIVATE.ipv4.addSubnet('127.0.0.0', 8, 'ipv4')
PRIVATE.ipv4.addSubnet('10.0.0.0', 8, 'ipv4')
PRIVATE.ipv4.addSubnet('172.16.0.0', 12, 'ipv4')
PRIVATE.ipv4.addSubnet('192.168.0.0', 16, 'ipv4')
PRIVATE.ipv4.addSubnet('169.254.0.0', 16, 'ipv4')
PRIVATE.ipv6.addSubnet('::', 64, 'ipv6')
PRIVATE.ipv6.addSubnet('fc00::', 7, 'ipv6')
PRIVATE.ipv6.addSubnet('fe80::', 10, 'ipv6')

/** Returns true if nobody on the internet can have this address, which `originOf` has returned. */
export function isPrivateOrigin(origin: string): boolean {
  const ip = origin.split('/')[0] as string
  const version = isIP(ip)
  if (version === 0) return false
  return version === 4 ? PRIVATE.ipv4.check(ip, 'ipv4') : PRIVATE.ipv6.check(ip, 'ipv6')
}

/** Returns the IP address in a multiaddr; an empty text if there is none. */
export function ipIn(address: string): string {
  return /^(?:\/ip6zone\/[^/]+)?\/ip[46]\/([^/]+)(?:\/|$)/.exec(address)?.[1] ?? ''
}
