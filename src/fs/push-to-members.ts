import type { PeerId } from '../format/peer-id.ts'
import type { Statement } from '../format/statement.ts'
import { raceSignal } from '../util/deadline.ts'
import { reasonOf } from '../util/logger.ts'
import { PUSH_WAIT_MS } from './constants.ts'
import type { FsContext } from './context.ts'

/**
 * Pushes records without blocks to every connected member, and waits a while for their answers. Returns the members
 * that acknowledged all of them as durable. The other members are offered the records again later, or fetch them when
 * they connect, so nothing depends on this call. The signal only ends the wait: the records are durable here, so
 * members must get them even if the caller has gone.
 */
export async function pushToMembers(
  { members, sync, clock, logger }: Pick<FsContext, 'members' | 'sync' | 'clock' | 'logger'>,
  statements: readonly Statement[],
  signal?: AbortSignal
): Promise<PeerId[]> {
  if (statements.length === 0) return []
  const acknowledged: PeerId[] = []
  const push = async (peer: PeerId): Promise<void> => {
    try {
      const verdicts = await Promise.all(statements.map(statement => sync.push(peer, statement)))
      if (verdicts.every(verdict => verdict === 'ok')) acknowledged.push(peer)
    } catch (error) {
      logger.forComponent('dfs:fs:push')('%s did not answer the push: %s', peer, reasonOf(error))
    }
  }
  const pushes = Promise.all(members.admitted.map(push))
  const { promise: isOver, resolve } = Promise.withResolvers<void>()
  const cancel = clock.after(PUSH_WAIT_MS, resolve)
  try {
    await raceSignal(Promise.race([pushes, isOver]), signal)
  } finally {
    cancel()
  }
  return [...acknowledged]
}
