import type { Peer, Status } from '../api.ts'
import type { Members } from '../members/members.ts'
import { toHex } from '../util/bytes.ts'
import { codeOf } from '../util/errors.ts'
import type { Worker } from '../util/worker.ts'
import type { Stack } from './stack.ts'

export interface StatusFacts {
  /** The number of files that the catalog shows. */
  files: number
  /** The error with which the rebuild of the index failed; undefined if there is none. */
  rebuildError: unknown
  /** The worker that rebuilds the index. */
  rebuilding: Worker
}

/** Returns the status that a running node reports. */
export function statusOf(stack: Stack, { files, rebuildError, rebuilding }: StatusFacts): Status {
  const { capacity, diskMonitor: disk, fs } = stack
  const { members, blocks } = fs
  const { self, view } = members
  const own = view.members.find(({ peer }) => peer === self.peerId)
  return {
    peerId: self.peerId,
    network: toHex(self.network),
    name: self.name,
    role: self.role,
    state: own?.isOut === true ? 'out' : own?.isDraining === true ? 'draining' : capacity.isFull ? 'full' : 'in',
    files,
    peersConnected: members.admitted.length,
    owed: blocks.owed,
    repairing: blocks.repairing,
    etaSeconds: null,
    atRisk: { blocks: 0 },
    disk: { used: capacity.usedBytes, capacity: capacity.capacityBytes, cache: 0, state: disk.state },
    workers: [...stack.workers, rebuilding].map(({ status }) => status),
    warnings: [...warningsOf(stack, rebuildError)]
  }
}

/** Returns the other members, and how this member is connected to them. */
export function peersOf(members: Members): Peer[] {
  const admitted = new Set(members.admitted)
  const connections = new Map(members.connections().map(connection => [connection.peer, connection]))
  return members.all
    .filter(({ peer }) => peer !== members.self.peerId)
    .map(({ peer, name, role }) => {
      const connection = admitted.has(peer) ? connections.get(peer) : undefined
      const latencyMs = connection?.latencyMs ?? null
      return { peerId: peer, name, role, connected: admitted.has(peer), latencyMs, via: connection?.via ?? null }
    })
}

/** Yields warnings about facts that the owner of the node should know and can usually act on. */
function* warningsOf({ capacity, diskMonitor: disk, report, fs }: Stack, rebuildError: unknown): Generator<string> {
  const { members, blocks } = fs
  if (rebuildError !== undefined)
    yield `the index is damaged and could not be rebuilt (${codeOf(rebuildError)}); retrying. The node cannot serve files until it is.`
  if (members.clockError !== undefined) yield members.clockError.message
  if (members.isRefusedForClock)
    yield 'a member refused this node because their clocks differ: set the one that is wrong'
  if (disk.indexFailure !== undefined)
    yield `the index could not be written (${codeOf(disk.indexFailure)}): nothing is stored until it can be; it is tried again by itself`
  if (disk.state === 'readonly') yield 'the data directory is not writable: nothing is stored until it is'
  if (disk.state === 'failing') yield 'the last write to the disk failed: the data on it may be in danger'
  if (blocks.badBlocks > 0)
    yield `blocks on this disk were damaged or could not be read since the start (${blocks.badBlocks}): the disk may be wearing out`
  if (report.damagedStretches > 0)
    yield `damaged stretches were found in the store (${report.damagedStretches}): the disk may be wearing out`
  if (capacity.isFull) yield 'this node is full and takes no more blocks: raise --capacity or free space on its disk'
}
