import { isIP } from 'node:net'
import { peerIdFromString } from '@libp2p/peer-id'
import type { Multiaddr } from '@multiformats/multiaddr'
import { InvalidInputError } from '../util/errors.ts'
import { parseOrUndefined } from './addresses.ts'

const EXAMPLES = 'write host:3000, 192.168.1.7:3000, [fd00::7]:3000, or a multiaddr such as /ip4/192.168.1.7/tcp/3000'
/** The longest text that an error message repeats. A secret that was given by mistake is not among them. */
const SHOWN_LENGTH_MAX = 128
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?$/i
/**
 * The components that may precede the port. An address of the kind `dnsaddr` is a name that stands for whole addresses.
 */
const HOSTS = ['ip4', 'ip6', 'dns', 'dns4', 'dns6']
/** The components that may follow the port. */
const AFTER_PORT = ['ws', 'wss', 'tls', 'sni', 'http-path', 'p2p', 'p2p-circuit']

/**
 * Returns the multiaddr for an address to dial that a user gave: `HOST:PORT`, `IP:PORT` or `[IPV6]:PORT`, which mean
 * TCP, or a multiaddr for TCP or WebSockets. Throws an `InvalidInputError` that says what is wrong with any other text.
 */
export function dialAddress(text: string): string {
  const given = text.trim()
  const address = given.startsWith('/') ? given : tcpAddress(given)
  const parsed = parseOrUndefined(address)
  if (parsed === undefined) throw wrong(given, 'is no address')
  checkParts(given, parsed)
  return address
}

/** Returns the multiaddr that `HOST:PORT` means. */
function tcpAddress(given: string): string {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(given)) throw wrong(given, 'is the address of a web page')
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]/]+)):(\d{1,5})$/.exec(given) ?? []
  const host = bracketed ?? plain
  if (host === undefined) {
    if (isIP(given.split('%')[0] as string) === 6) throw wrong(given, 'needs brackets and a port')
    throw wrong(given, /^[^:[\]/\s]+$/.test(given) ? 'has no port' : 'is no address')
  }
  if (bracketed !== undefined) {
    const [ip, zone] = bracketed.split('%') as [string, string?]
    if (isIP(ip) !== 6) throw wrong(given, 'has no IPv6 address in its brackets')
    return `${zone === undefined ? '' : `/ip6zone/${zone}`}/ip6/${ip}/tcp/${port}`
  }
  if (isIP(host) === 4) return `/ip4/${host}/tcp/${port}`
  // A name of digits and dots is an IP address that was mistyped.
  if (!HOST_NAME.test(host) || /^[\d.]+$/.test(host)) throw wrong(given, 'has neither an IP address nor a host name')
  return `/dns/${host}/tcp/${port}`
}

function checkParts(given: string, address: Multiaddr): void {
  const parts = address.getComponents()
  const [first, ...others] = parts[0]?.name === 'ip6zone' ? parts.slice(1) : parts
  const last = parts.at(-1)
  if (last?.name === 'p2p' && !isPeerId(last.value)) throw wrong(given, 'has no valid peer id after /p2p/')
  if (first?.name === 'dnsaddr') return
  const [port, ...after] = others
  if (first === undefined || !HOSTS.includes(first.name) || port?.name !== 'tcp')
    throw wrong(given, 'is no address for TCP or WebSockets')
  if (!after.every(({ name }) => AFTER_PORT.includes(name))) throw wrong(given, 'is no address for TCP or WebSockets')
  if (port.value === '0') throw wrong(given, 'has port 0, where nobody can be reached')
  if (first.name.startsWith('dns') && !HOST_NAME.test(first.value ?? '')) throw wrong(given, 'has no valid host name')
  // libp2p drops the interface when it dials, and cannot name the remote when it is dialled.
  if (parts[0]?.name === 'ip6zone' || isLinkLocal(first.value ?? ''))
    throw wrong(
      given,
      'is an IPv6 address of one link only (fe80…), over which nodes cannot connect: give another address of that machine',
      ''
    )
}

/** Returns true for an IPv6 address that counts on one link only. */
function isLinkLocal(ip: string): boolean {
  return /^fe[89ab][0-9a-f]:/i.test(ip)
}

function isPeerId(text: string | undefined): boolean {
  try {
    peerIdFromString(text ?? '')
    return true
  } catch {
    // The caller reports it.
    return false
  }
}

function wrong(given: string, what: string, examples = `: ${EXAMPLES}`): InvalidInputError {
  return new InvalidInputError(`--bootstrap: ${shown(given)} ${what}${examples}`)
}

/** A network key or an invite, given here by mistake, contains neither of these characters. */
function shown(given: string): string {
  if (given === '') return 'an empty text'
  const isShort = given.length <= SHOWN_LENGTH_MAX && (/[:/]/.test(given) || given.length <= 40)
  return isShort ? `"${given}"` : 'what was given'
}
