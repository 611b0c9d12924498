import type { Peer, Status } from '../api.ts'
import type { Members } from '../members/members.ts'
import { toHex } from '../util/bytes.ts'
import { codeOf } from '../util/errors.ts'
import type { Stack } from './stack.ts'

/** What a running node says of itself. `rebuildFault` is why its index could not be made anew, while that is so. */
export function statusOf(stack: Stack, files: number, rebuildFault: unknown): Status {
  const { capacity, disk, fs } = stack
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
    warnings: [...warningsOf(stack, rebuildFault)]
  }
}

/** The other members, and how this one is connected to them. */
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

/** What its owner should know, and mostly can do something about. */
function* warningsOf({ capacity, disk, report, fs }: Stack, rebuildFault: unknown): Generator<string> {
  const { members, blocks } = fs
  if (rebuildFault !== undefined)
    yield `the index is damaged and could not be made anew (${codeOf(rebuildFault)}): nothing works until it is, it is tried again`
  if (members.clockFault !== undefined) yield members.clockFault.message
  if (members.isRefusedForClock)
    yield 'a member did not let this node in because of the time: set the clock of whichever is wrong'
  if (disk.state === 'readonly') yield 'the data directory cannot be written: nothing is stored until it can'
  if (disk.state === 'failing') yield 'the disk failed the last write: what it holds may be in danger'
  if (blocks.badBlocks > 0)
    yield `blocks on this disk were damaged or could not be read since the start (${blocks.badBlocks}): it may be wearing out`
  if (report.damagedRows > 0) yield `${report.damagedRows} damaged rows were found in the store`
  if (capacity.isFull) yield 'this node is full and takes no more blocks: raise --capacity or free space on its disk'
}
