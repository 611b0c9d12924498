import type { BlockCid } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import type { Statement } from '../../format/statement.ts'
import type { Verdict } from '../../log/projection.ts'
import { NotEnoughCopiesError } from '../errors.ts'
import type { PutId } from '../hold/claims.ts'
import { listOf, nameOf, nameOfId } from '../log-names.ts'
import { isEmpty } from './bits.ts'
import type { KeptFile } from './kept-file.ts'
import { type LogValue, whenSlow } from './logs.ts'
import type { PutOptions } from './put.ts'
import { PutDriver } from './put-driver.ts'
import type { PutDriverDeps } from './put-ports.ts'
import { copiesOwedOfRecord, copiesToWaitFor, isWaitedFor, leastCopies, reachedBy, recordOwedBy } from './yes.ts'

export interface AcknowledgementDeps extends PutDriverDeps {
  self: PeerId
  push: (peer: PeerId, statement: Statement, put: Uint8Array | null) => Promise<Verdict>
  /** Pushes the record to all other members, without waiting. */
  announce: (statement: Statement, except: ReadonlySet<PeerId>) => void
  /** Returns true if every block of a file is on this disk, and is claimed by the put or referred to. */
  hasAll: (root: BlockCid, putId: PutId) => Promise<boolean>
  /** Brings the blocks of a file that are missing on this disk back from other members. */
  restoreOwn: (root: BlockCid, putId: PutId) => Promise<void>
}

/** The result of a put: the members that have its file, and the copies that are still owed. */
export interface PutOutcome {
  /** The members, including this one, that acknowledged the record and hold the blocks that they are counted on for. */
  reached: PeerId[]
  /** The number of copies of the chunk with the fewest, counting only those that were acknowledged. */
  confirmed: number
  /** The number of copies that the view requires. */
  wanted: number
  /** The number of copies of chunks that members still owe. A record without blocks counts as one chunk. */
  owedBlocks: number
  /** The members that owe them. */
  owedBy: PeerId[]
}

/**
 * Pushes one record, which is durable here, until every block of its file has enough copies on members that acknowledged
 * it, including this one, or until nobody is left to ask or time runs out. `kept` is the file that the record links;
 * null if it has no blocks.
 *
 * Throws a `NotEnoughCopiesError` if an explicit `ack` was not reached, or if some block is on no member at all, not
 * even here. Missing copies are handed off.
 */
export async function acknowledge(
  deps: AcknowledgementDeps,
  options: PutOptions,
  record: Statement<'entry'>,
  kept: KeptFile | null
): Promise<PutOutcome> {
  const { self, clock, logs } = deps
  const { replicas, ack, signal } = options
  const driver = kept?.driver ?? new PutDriver(deps, { self, replicas, ack, hasBlocks: false }, null)
  const { machine } = driver
  const name = nameOfId(record.id)
  const log = (text: string, ...args: LogValue[]): void => {
    if (logs.acknowledgement.enabled) logs.acknowledgement(`record %s: ${text}`, name, ...args)
  }
  const onPushed = (peers: PeerId[]): void => {
    const names = { toString: () => listOf(peers) }
    if (kept === null) log('without blocks; pushed to %s', names)
    else log('of put %s with root %s; pushed to %s', nameOfId(kept.putNumber), nameOf(kept.root), names)
    deps.announce(record, new Set(peers))
  }
  const ports = {
    push: (peer: PeerId) => deps.push(peer, record, kept?.putNumber ?? null),
    isOwnWhole: async () => kept === null || deps.hasAll(kept.root, kept.putId),
    restoreOwn: async () => {
      if (kept !== null) await deps.restoreOwn(kept.root, kept.putId)
    },
    log
  }
  const end = whenSlow(clock, logs.acknowledgement, () => {
    const waiting = [...machine.state.members]
      .filter(([, member]) => isWaitedFor(machine.state, member))
      .map(([peer]) => peer)
    const wait = waiting.length > 0 ? 'waits for' : 'asks'
    const copies = [leastCopies(machine.state), copiesToWaitFor(machine.state, machine.ranking)] as const
    log(`%d of %d copies are durable, ${wait} %s`, ...copies, listOf(waiting))
  })
  try {
    if (kept?.unsent !== undefined) {
      const { root: cid, unsent: inline } = kept
      driver.add({ cid, chunkIndex: 0, sizeBytes: inline.byteLength, inline, record })
    }
    return outcomeOf(driver, await driver.push(ports, { signal, onPushed }), log)
  } finally {
    end()
    driver.end()
  }
}

function outcomeOf(
  { machine }: PutDriver,
  isYes: boolean,
  log: (text: string, ...args: LogValue[]) => void
): PutOutcome {
  const { state, ranking } = machine
  const reached = reachedBy(state)
  const wanted = Math.max(1, Math.min(state.replicas, ranking.keeperCount))
  const [copies, acks] = [leastCopies(state), copiesToWaitFor(state, ranking)]
  const owed = state.hasBlocks ? [...machine.owedBy()] : recordOwedBy(state, ranking)
  const owedBlocks = state.hasBlocks
    ? owed.reduce((sum, [, count]) => sum + count, 0)
    : copiesOwedOfRecord(copies, wanted)
  const why = state.ack === undefined ? whyEnough(copies, acks) : `the caller asked for ${acks}`
  log('%s, durable copies: %d of %d (%s)', isYes ? 'yes' : 'no', copies, wanted, why)
  if (owed.length > 0)
    log(
      'copies of chunks that are still owed: %d, by %s',
      owedBlocks,
      listOf(owed.map(([peer, count]) => `${peer}: ${count}`))
    )
  if (!isYes) {
    const full = [...state.members].filter(([, member]) => !isEmpty(member.full)).map(([peer]) => peer)
    throw new NotEnoughCopiesError({ reached, wanted: acks, owedBlocks, isHere: state.own === 'held', full })
  }
  const owedBy = owedBlocks > 0 ? owed.map(([peer]) => peer) : []
  return { reached, confirmed: copies, wanted, owedBlocks, owedBy }
}

/** Says why a put returns now, if its caller did not say how many copies to wait for. */
function whyEnough(copies: number, acks: number): string {
  return copies < acks ? 'no other member can be asked now' : `the default asks for ${acks}`
}
