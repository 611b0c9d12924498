/** Returns the place in a multiaddr, for a person: a host name or an IP address. Returns undefined if it names none. */
export function hostIn(address: string): string | undefined {
  return /^\/(?:ip6zone\/[^/]+\/)?(?:ip4|ip6|dns|dns4|dns6|dnsaddr)\/([^/]+)/.exec(address)?.[1]
}
