import type { PeerId } from '../../format/peer-id.ts'
import { withDeadline } from '../../util/deadline.ts'
import { type Logger, reasonOf } from '../../util/logger.ts'
import { WITHDRAW_MS } from './constants.ts'
import type { NewcomerOptions } from './newcomer-options.ts'

/** Takes the request back from the members that are still connected, so that nobody approves a machine that is gone. */
export async function withdraw(
  asked: Iterable<PeerId>,
  { client, clock, host, log }: Pick<NewcomerOptions, 'client' | 'clock' | 'host'> & { log: Logger }
): Promise<void> {
  const tell = async (peer: PeerId): Promise<void> => {
    try {
      await withDeadline(clock, WITHDRAW_MS, undefined, signal => client.withdraw(peer, signal))
    } catch (error) {
      log('could not take the request back from %s: %s', peer, reasonOf(error))
    }
  }
  await Promise.all([...asked].filter(peer => host.isConnected(peer)).map(tell))
}
