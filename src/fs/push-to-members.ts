import type { PeerId } from '../format/peer-id.ts'
import type { Statement } from '../format/statement.ts'
import type { Verdict } from '../log/projection.ts'
import { raceSignal, waitUpTo } from '../util/deadline.ts'
import { reasonOf } from '../util/logger.ts'
import { PUSH_WAIT_MS, PUSHES_AHEAD } from './constants.ts'
import type { FsContext } from './context.ts'

type PushContext = Pick<FsContext, 'blocks' | 'members' | 'sync' | 'clock' | 'logger'>

/**
 * Pushes records without blocks to every connected member, and waits a while for their answers. Returns the members
 * that acknowledged all of them as durable. The other members are offered the records again later, or fetch them when
 * they connect, so nothing depends on this call. The signal only ends the wait: the records are durable here, so
 * members must get them even if the caller has gone.
 */
export async function pushToMembers(
  fs: PushContext,
  statements: readonly Statement[],
  signal?: AbortSignal
): Promise<PeerId[]> {
  const pushes = new MemberPushes(fs, signal)
  await pushes.push(statements)
  return pushes.settle()
}

/**
 * Begins to push records without blocks to every connected member. Returns a function that waits a while for the answers
 * of some of them; it does not reject.
 */
export function beginPushToMembers(
  fs: PushContext,
  statements: readonly Statement[]
): (peers: readonly PeerId[]) => Promise<void> {
  if (statements.length === 0) return async () => {}
  const answers = new Map(Array.from(fs.members.admitted, peer => [peer, pushTo(fs, peer, statements)]))
  return peers => waitUpTo(fs.clock, PUSH_WAIT_MS, Promise.all(peers.map(peer => answers.get(peer))))
}

/**
 * Pushes the records of one verb as the verb appends them, to the members that are connected at the first push. At most
 * `PUSHES_AHEAD` of these pushes wait for their answers, so that a verb with any number of records holds few of them in
 * memory. If a member does not answer in time, the log offers it the later records instead.
 */
export class MemberPushes {
  readonly #fs: PushContext
  readonly #signal: AbortSignal | undefined
  /** The members that have acknowledged all records so far, or may still do so. */
  #members: Set<PeerId> | undefined
  readonly #waiting: Array<Promise<void>> = []

  constructor(fs: PushContext, signal?: AbortSignal) {
    this.#fs = fs
    this.#signal = signal
  }

  /** Begins to push records. Waits if too many of the earlier pushes have not been answered. */
  async push(statements: readonly Statement[]): Promise<void> {
    if (statements.length === 0) return
    this.#members ??= new Set(this.#fs.members.admitted)
    this.#waiting.push(this.#pushToAll(this.#members, statements))
    while (this.#waiting.length > PUSHES_AHEAD) {
      const [oldest] = this.#waiting.splice(0, 1)
      await raceSignal(oldest as Promise<void>, this.#signal)
    }
  }

  /** Waits for the answers. Returns the members that have acknowledged all records; none if there were no records. */
  async settle(): Promise<PeerId[]> {
    await raceSignal(Promise.all(this.#waiting), this.#signal)
    return [...(this.#members ?? [])]
  }

  /** Pushes to all members, and drops those that refuse or do not answer in time. */
  async #pushToAll(members: Set<PeerId>, statements: readonly Statement[]): Promise<void> {
    const silent = new Set(members)
    const pushes = [...members].map(async peer => {
      if (!(await pushTo(this.#fs, peer, statements))) members.delete(peer)
      silent.delete(peer)
    })
    await waitUpTo(this.#fs.clock, PUSH_WAIT_MS, Promise.all(pushes))
    for (const peer of silent) members.delete(peer)
  }
}

/** Returns true if a member has acknowledged all of them. A member that shows no sign of life is not waited for. */
async function pushTo(
  { blocks, sync, logger }: PushContext,
  peer: PeerId,
  statements: readonly Statement[]
): Promise<boolean> {
  const push = (): Promise<Verdict[]> => Promise.all(statements.map(statement => sync.push(peer, statement)))
  try {
    const verdicts = await blocks.untilSilent(peer, push)
    return verdicts?.every(verdict => verdict === 'ok') === true
  } catch (error) {
    logger.forComponent('dfs:fs:push')('%s did not answer the push: %s', peer, reasonOf(error))
    return false
  }
}
