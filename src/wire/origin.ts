import { isIP } from 'node:net'

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

/** Returns the IP address in a multiaddr; an empty text if there is none. */
export function ipIn(address: string): string {
  return /^(?:\/ip6zone\/[^/]+)?\/ip[46]\/([^/]+)(?:\/|$)/.exec(address)?.[1] ?? ''
}
