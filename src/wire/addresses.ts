import { createServer } from 'node:net'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { PeerId } from '../format/peer-id.ts'
import { InvalidInputError } from '../util/errors.ts'
import { PortTakenError } from './errors.ts'
import { holderOfPort } from './port-holder.ts'

const HOW_ADDRESSES_READ = 'one reads like /ip4/192.168.1.7/tcp/3000 or /dns4/host/tcp/3001/ws'

/**
 * Parses a multiaddr that a user gave. Throws an `InvalidInputError` whose message shows an example. If `flag` is
 * given, the message begins with it.
 */
export function parseAddress(address: string, flag?: string): Multiaddr {
  const parsed = parseOrUndefined(address)
  if (parsed === undefined)
    throw new InvalidInputError(
      `${flag === undefined ? '' : `${flag}: `}"${address}" is no address: ${HOW_ADDRESSES_READ}`
    )
  return parsed
}

/** Parses a multiaddr, or returns undefined for any other text. */
export function parseOrUndefined(address: string): Multiaddr | undefined {
  try {
    const parsed = multiaddr(address)
    return parsed.getComponents().length > 0 ? parsed : undefined
  } catch {
    // The callers handle this: they throw an error for the user, or leave the address out.
    return undefined
  }
}

/**
 * Returns the addresses that may lead to a peer, or to anyone if the peer is undefined. A member may state an address
 * that is malformed or that names another peer. Such an address is left out. Throws an `InvalidInputError` if none is
 * left.
 */
export function dialTargets(addresses: readonly string[], peer: PeerId | undefined): Multiaddr[] {
  const targets = addresses.flatMap(address => targetOf(address, peer))
  if (targets.length === 0) throw new InvalidInputError(`there is no address to dial: ${HOW_ADDRESSES_READ}`)
  return targets
}

function targetOf(address: string, peer: PeerId | undefined): Multiaddr[] {
  const target = parseOrUndefined(address)
  if (target === undefined) return []
  // A peer id at the end names the peer that is dialled. A peer id before the end is that of a relay.
  const last = target.getComponents().at(-1)
  if (last?.name === 'p2p') return peer === undefined || last.value === peer ? [target] : []
  return [peer === undefined ? target : target.encapsulate(`/p2p/${peer}`)]
}

/**
 * Throws an `InvalidInputError` for an address that TCP and WebSockets cannot listen on. libp2p would skip it silently.
 */
export function checkListen(address: string): void {
  const last = parseAddress(address, '--listen').getComponents().at(-1)?.name
  if (last !== 'tcp' && last !== 'ws')
    throw new InvalidInputError(
      `--listen: "${address}" cannot be listened on: such an address ends in /tcp/PORT or /tcp/PORT/ws`
    )
}

/** The TCP port in an address; undefined if there is none. */
export function portOf(address: string): number | undefined {
  const port = parseAddress(address)
    .getComponents()
    .find(({ name }) => name === 'tcp')?.value
  return port === undefined ? undefined : Number(port)
}

/**
 * Throws a `PortTakenError` if another process listens on an address, and an `InvalidInputError` if this process can
 * never listen on it. libp2p reports both as one of many nested errors, whereas the operating system reports the cause
 * directly.
 */
export async function checkPort(address: string): Promise<void> {
  const port = portOf(address)
  if (port === undefined || port === 0) return
  const host = parseAddress(address)
    .getComponents()
    .find(({ name }) => name === 'ip4' || name === 'ip6')?.value
  const code = await new Promise<string | undefined>(resolve => {
    const server = createServer()
    server.once('error', error => resolve((error as NodeJS.ErrnoException).code))
    server.listen(port, host, () => server.close(() => resolve(undefined)))
  })
  if (code === 'EADDRINUSE') throw new PortTakenError(port, await holderOfPort(port))
  if (code === 'EACCES') throw new InvalidInputError(`this user may not listen on port ${port}: give another --listen`)
  if (code === 'EADDRNOTAVAIL')
    throw new InvalidInputError(`this machine has no address ${host}: give another --listen`)
}

/** Returns for people where an address leads: `host:port`, or the address itself if it has another form. */
export function placeOf(address: string): string {
  const [, zone, kind, host, port] =
    /^(?:\/ip6zone\/([^/]+))?\/(ip4|ip6|dns|dns4|dns6)\/([^/]+)\/tcp\/(\d+)/.exec(address) ?? []
  if (host === undefined) return address
  if (kind !== 'ip6') return `${host}:${port}`
  return `[${host}${zone === undefined ? '' : `%${zone}`}]:${port}`
}

/** Returns the peer id at the end of an address; undefined if the address does not say who answers there. */
export function peerInAddress(address: string): PeerId | undefined {
  const last = parseOrUndefined(address)?.getComponents().at(-1)
  return last?.name === 'p2p' ? last.value : undefined
}
