import type { Peer, Status } from '../api.ts'
import { NO_KEY } from '../catalog/errors.ts'
import { networkWords } from '../format/approval.ts'
import { awaited, type FsContext } from '../fs/context.ts'
import type { AsidesReport } from '../log/log.ts'
import type { Members } from '../members/members.ts'
import { obstaclesOf } from '../members/obstacles.ts'
import { stateOf } from '../members/view.ts'
import { equalBytes, shortHex, toHex } from '../util/bytes.ts'
import { codeOf } from '../util/errors.ts'
import type { Worker } from '../util/worker.ts'
import { placeOf } from '../wire/addresses.ts'
import { absencesOf } from './absences.ts'
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
    state: members.standing.isRemoved
      ? 'removed'
      : own?.isOut === true
        ? 'out'
        : own?.isDraining === true
          ? 'draining'
          : capacity.isFull
            ? 'full'
            : 'in',
    words: networkWords(self.network),
    code: null,
    waiting: members.admitting.waitingHere.length,
    files,
    catchingUpWith: catchingUpWith(fs),
    peersConnected: members.admitted.length,
    owed: owedOf(fs),
    repairing: blocks.repairing,
    etaSeconds: null,
    atRisk: { blocks: blocks.inDanger.blocksAtRisk },
    disk: { used: capacity.usedBytes, capacity: capacity.capacityBytes, cache: 0, state: disk.state },
    workers: [...stack.workers, rebuilding].map(({ status }) => status),
    warnings: [...warningsOf(stack, rebuildError)]
  }
}

/** Returns what this member owes and lacks, and what others owe for its puts. */
function owedOf(fs: Stack['fs']): Status['owed'] {
  const { by, ...owed } = fs.blocks.owed
  return { ...owed, waitingFor: awaited(fs, by) }
}

/** Returns the other members, when they were last seen, and how this member is connected to them. */
export function peersOf({ members, lastSeen, clock }: Pick<FsContext, 'members' | 'lastSeen' | 'clock'>): Peer[] {
  const admitted = new Set(members.admitted)
  const states = new Map(members.view.members.map(shown => [shown.peer, stateOf(shown)]))
  const connections = new Map(members.connections().map(connection => [connection.peer, connection]))
  return members.all
    .filter(({ peer }) => peer !== members.self.peerId)
    .map(({ peer, name, role }) => {
      const connection = admitted.has(peer) ? connections.get(peer) : undefined
      const connected = admitted.has(peer)
      return {
        ...{ peerId: peer, name, role, state: states.get(peer) ?? 'in', connected },
        lastSeen: connected ? new Date(clock.now()) : lastSeen(peer),
        latencyMs: connection?.latencyMs ?? null,
        via: connection?.via ?? null
      }
    })
}

/** Yields warnings about facts that the owner of the node should know and can usually act on. */
function* warningsOf(
  { capacity, diskMonitor: disk, report, comparison, fs, log, membership, workers }: Stack,
  rebuildError: unknown
): Generator<string> {
  const { members, blocks } = fs
  if (rebuildError !== undefined)
    yield `the index is damaged and could not be rebuilt (${codeOf(rebuildError)}); retrying. The node cannot serve files until it is.`
  yield* obstaclesOf(members)
  yield* membershipWarnings(members, membership)
  if (fs.author.waitsForKey) yield NO_KEY
  for (const { address, reason } of members.unreachable)
    yield `nobody answers at ${placeOf(address)} (${reason}): this node keeps trying`
  if (disk.indexFailure !== undefined)
    yield `the index could not be written (${codeOf(disk.indexFailure)}): nothing is stored until it can be written; this node keeps trying. Free space on the disk or check it`
  for (const { name } of members.missingNewsOf)
    yield `changes by ${name} have not reached this node: another member may hold them back; let this node connect to ${name} directly`
  yield* absencesOf(fs)
  const { flag, network } = members.outAfterMs
  if (flag !== undefined && flag < network)
    yield `--out-after has no effect: the network's is ${network / 1_000} s, and a node can only ask for a longer time`
  if (disk.state === 'readonly') yield 'the data directory is not writable: nothing is stored until it is'
  if (disk.state === 'failing') yield 'the last write to the disk failed: the data on it may be in danger'
  const { found, left } = blocks.badBlocks
  if (found > 0)
    yield `blocks on this disk were damaged or could not be read since the start (${found}, still bad: ${left}): the disk may be wearing out`
  if (blocks.freeing.unreadableNodes > 0)
    yield `parts of removed files cannot be read here or on another member (${blocks.freeing.unreadableNodes}), so the blocks below them stay: run dfs fsck`
  for (const { author, records, isStopping } of blocks.inDanger.incomplete)
    yield `files by ${nameOfMember(author, members)} are incomplete (${records}): ${capacity.isFull ? 'this node has no room for all of their manifests, or ' : ''}no reachable member has all of their manifests${isStopping ? ', and this node frees nothing until they come, for 7 days at most' : ''}; start the machine that has them, or put the files again`
  const { lostChunks } = blocks.inDanger
  if (lostChunks > 0 && !capacity.isFull && areAllHere(members))
    yield `files have lost blocks: this node should hold some that no connected member has (${lostChunks}): run dfs fsck, which names the files, then put them again or restore an earlier version`
  if (log.earlyCount > 0)
    yield `changes that are dated more than 5 minutes ahead of this machine's clock wait until their time comes (${log.earlyCount}): some machine's clock is or was wrong`
  if (log.asides.count > 0)
    yield `statements that this release cannot process were set aside (${log.asides.count}): ${nameAsides(log.asides, members)}; upgrading dfs-node may help`
  const arriving = catchingUpWith(fs)
  if (arriving.length > 0)
    yield `changes are still arriving (${arriving.join(', ')}): until then, what this node lists may be incomplete`
  if (fs.sync.inDoubt.length > 0)
    yield `the statements of some members differ from those of this one after everything was exchanged (${fs.sync.inDoubt.length}): a member may refuse or withhold some; check that all run the same release of dfs-node`
  if (log.lostCount > 0)
    yield `statements on this disk are damaged (${log.lostCount}): this node asks the other members for them; until they arrive, the files that they describe are shown as damaged`
  if (report.damagedStretches > 0)
    yield `damaged stretches were found in the store (${report.damagedStretches}): the disk may be wearing out`
  if (!comparison.isWhole)
    yield `the index may be incomplete after a rebuild or damage: this node frees nothing until it has compared its log with every other member that is not out (still missing: ${comparison.missing})`
  if (workers.some(({ status: { name, lastError } }) => name === 'compaction' && lastError === 'no-space'))
    yield 'the space of removed files cannot return, because the disk has no room to rewrite what is stored beside them: free some space on it'
  if (capacity.isFull) yield 'this node is full and takes no more blocks: raise --capacity or free space on its disk'
}

/** Yields warnings about the machines that want to become members, and about the network key. */
function* membershipWarnings({ admitting }: Members, { networkKey }: Stack['membership']): Generator<string> {
  for (const { code } of admitting.waitingHere) yield `a machine waits to be let in (code ${code}): see dfs members`
  if (networkKey.isExposed)
    yield 'the disk of this machine holds the network key, and whoever takes the disk owns the network: write the words down (dfs network recovery), then dfs network recovery --forget'
}

/** Returns true if every member that stores blocks and is not out is connected. */
function areAllHere({ view, admitted, self }: Members): boolean {
  const here = new Set<string>([self.peerId, ...admitted])
  return view.members.every(({ peer, weight, isOut }) => weight === 0 || isOut || here.has(peer))
}

/** Returns the names of the members whose changes are still arriving. */
function catchingUpWith({ sync, members }: Stack['fs']): string[] {
  return sync.catchingUpWith.map(peer => nameOfMember(peer, members))
}

function nameOfMember(peer: string, members: Members): string {
  return members.all.find(member => member.peer === peer)?.name ?? peer
}

/** Names the statements that were set aside, or some of them, by the first digits of their ids and by their authors. */
function nameAsides({ count, some }: AsidesReport, members: Members): string {
  const names = some.map(({ id, author }) => {
    const by = members.all.find(({ key }) => equalBytes(key, author))
    return by === undefined ? shortHex(id) : `${shortHex(id)} by ${by.name}`
  })
  return names.length < count ? `${names.join(', ')}, …` : names.join(', ')
}
