import type { Status } from '../api.ts'
import { freeForStore } from '../disk/capacity.ts'
import type { Files } from '../disk/files.ts'
import type { MonitoredFiles } from '../disk/monitored-files.ts'
import type { AskedRole } from '../members/join-messages.ts'

/** What a machine that waits to be let in shows. A field is null while the machine does not know it. */
export interface Pending {
  code: string | null
  /** The network's id in hex. */
  network: string | null
  words: string | null
  role: AskedRole
  expiresAtMs: number | null
  /** Why the last member that was asked has not let this machine in, as a sentence. */
  trouble: string | null
}

/** A device that is not a member yet. */
export interface Waiting {
  readonly peerId: string
  readonly name: string
  readonly role: AskedRole
  readonly pending: Pending
  /** Resolves once there is nothing more to wait for before the node can answer its owner. */
  readonly settled: Promise<void>
}

/** The first phase of a node that has to be let in. */
export interface NodeEntry {
  waiting: Waiting
  /** Resolves with the network once this device is a member. Throws the reason if it never will be. */
  run(signal: AbortSignal): Promise<Uint8Array>
}

/** Returns the sentence that tells the owner what this machine waits for. */
export function pendingText({ pending: { code, role, trouble } }: Pick<Waiting, 'pending'>): string {
  return code === null
    ? `this machine waits to be let in: ${trouble ?? 'no member that can let it in has answered yet'}`
    : `this machine waits to be let in: on a machine that is already in, run dfs members approve ${code} --role ${role}`
}

/** Returns the status of a node that has no rooms yet. */
export function pendingStatus(waiting: Waiting, disk: Status['disk']): Status {
  const { network, words, code } = waiting.pending
  const { peerId, name, role } = waiting
  return {
    peerId,
    network: network ?? '',
    name,
    role,
    state: 'pending',
    words: words ?? '',
    code,
    waiting: 0,
    files: 0,
    catchingUpWith: [],
    peersConnected: 0,
    owed: { blocks: 0, bytes: 0, files: 0, waitingFor: [] },
    repairing: { blocks: 0, bytes: 0 },
    etaSeconds: null,
    atRisk: { blocks: 0 },
    disk,
    workers: [],
    warnings: [pendingText(waiting)]
  }
}

/** Returns the state of a disk on which nothing is stored yet. */
export async function diskOf(files: Files & Partial<Pick<MonitoredFiles, 'state'>>): Promise<Status['disk']> {
  return { used: 0, capacity: freeForStore(await files.space()), cache: 0, state: files.state ?? 'ok' }
}
