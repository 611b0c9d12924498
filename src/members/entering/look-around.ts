import type { PeerId } from '../../format/peer-id.ts'
import { toHex } from '../../util/bytes.ts'
import type { Clock } from '../../util/clock.ts'
import { withDeadline } from '../../util/deadline.ts'
import { type ComponentLogger, reasonOf } from '../../util/logger.ts'
import type { Host } from '../../wire/host.ts'
import type { EntryClient } from '../joining/entry-client.ts'
import { LOOK_MS } from './constants.ts'
import { FoundPeers } from './found-peers.ts'

/** A network whose members answer nearby. */
export interface NetworkNearby {
  network: Uint8Array
  peers: Array<{ peer: PeerId; addresses: string[] }>
}

export interface LookOptions {
  /** It must not have started yet. The caller stops it. */
  host: Pick<Host, 'onDiscovered' | 'start' | 'dial'>
  client: Pick<EntryClient, 'hello'>
  clock: Clock
  logger: ComponentLogger
}

/**
 * Starts a host, and asks everyone who announces itself nearby for its network, for `LOOK_MS`. Machines that are not
 * members do not answer `hello`, so they do not count. Returns the networks, those with the most members that answered
 * first.
 */
export async function lookAround({ host, client, clock, logger }: LookOptions): Promise<NetworkNearby[]> {
  const log = logger.forComponent('dfs:members:entering')
  const found = new Map<string, NetworkNearby>()
  const nearby = new FoundPeers()
  const ask = async (peer: PeerId, addresses: string[], outer: AbortSignal): Promise<void> => {
    try {
      const network = await withDeadline(clock, LOOK_MS, outer, async signal => {
        await host.dial(addresses, { signal, peer })
        return (await client.hello(peer, undefined, signal)).network
      })
      const id = toHex(network)
      const known = found.get(id) ?? { network, peers: [] }
      known.peers.push({ peer, addresses })
      found.set(id, known)
    } catch (error) {
      log('%s announced itself but did not name its network: %s', peer, reasonOf(error))
    }
  }
  const over = new AbortController()
  host.onDiscovered((peer, announced) => {
    if (over.signal.aborted) return
    const addresses = nearby.take(peer, announced)
    if (addresses.length > 0) void ask(peer, addresses, over.signal)
  })
  try {
    await host.start()
    await clock.sleep(LOOK_MS)
  } finally {
    over.abort()
  }
  return [...found.values()].toSorted((a, b) => b.peers.length - a.peers.length)
}
