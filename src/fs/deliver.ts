import { DELIVER_MS } from '../catalog/constants.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { Statement } from '../format/statement.ts'
import type { FsContext } from './context.ts'

/**
 * Hands records without blocks to every member that is connected, and waits for them, for a while. Gives those that
 * acknowledged all of them as durable. The others are offered them again, or learn of them when they come: nothing depends
 * on this call.
 */
export async function deliver(
  { members, sync, clock }: Pick<FsContext, 'members' | 'sync' | 'clock'>,
  statements: readonly Statement[]
): Promise<PeerId[]> {
  if (statements.length === 0) return []
  const acknowledged: PeerId[] = []
  const pushes = members.admitted.map(async peer => {
    const verdicts = await Promise.all(statements.map(statement => sync.push(peer, statement).catch(() => 'lost')))
    if (verdicts.every(verdict => verdict === 'ok')) acknowledged.push(peer)
  })
  const { promise: isOver, resolve } = Promise.withResolvers<void>()
  const cancel = clock.after(DELIVER_MS, resolve)
  await Promise.race([Promise.all(pushes), isOver])
  cancel()
  return [...acknowledged]
}
