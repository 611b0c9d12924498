import { once } from 'node:events'
import type {
  Admitted,
  DeclaredOut,
  DfsNode,
  InviteItem,
  InviteOptions,
  MadeInvite,
  MemberItem,
  NetworkInfo,
  NodeEvent,
  Peer,
  ReadyOptions,
  Role,
  SettingItem,
  SettingValue,
  Status
} from '../api.ts'
import type { FsContext } from '../fs/context.ts'
import type { AbortOptions } from '../fs/types.ts'
import { PendingError } from '../members/entering/errors.ts'
import { toHex } from '../util/bytes.ts'
import { raceSignal } from '../util/deadline.ts'
import { StoppedError } from '../util/errors.ts'
import { type Logger, reasonOf } from '../util/logger.ts'
import { FileVerbs } from './file-verbs.ts'
import { diskOf, type NodeEntry, pendingStatus, pendingText } from './pending-status.ts'
import { peersOf, statusOf } from './report.ts'
import type { Stack } from './stack.ts'
import { Supervisor, type SupervisorOptions } from './supervisor.ts'

export interface NodeInit extends SupervisorOptions {
  /** Releases the lock of the data directory. */
  unlock: () => Promise<void>
  /** Undefined while the network is not known. */
  network: Uint8Array | undefined
  /** The first phase, which makes this device a member; undefined for a device that is a member already. */
  entry?: NodeEntry | undefined
  /** Called once the first stack runs. */
  onUp?: (() => Promise<void>) | undefined
}

const STOPPED = new StoppedError('this node has been stopped')

/**
 * The running node, as the library exposes it. Each verb is passed to the stack that is running, and waits while the
 * supervisor replaces that stack.
 */
export class Node extends FileVerbs implements DfsNode {
  readonly #supervisor: Supervisor
  readonly #unlock: () => Promise<void>
  readonly #log: Logger
  readonly #files: SupervisorOptions['files']
  readonly #onUp: () => Promise<void>
  readonly #stopping = new AbortController()
  /** Settles once this node is a member that can be used, or never will be. */
  #entering: Promise<void> = Promise.resolve()
  /** The first phase, until it is over. */
  #entry: NodeEntry | undefined
  /** Why this node is not a member and never will be. */
  #failure: unknown
  #network: Uint8Array | undefined
  #isStopped = false

  constructor({ unlock, network, entry, onUp = async () => {}, ...options }: NodeInit) {
    super()
    this.#supervisor = new Supervisor(options)
    this.#unlock = unlock
    this.#log = options.logger.forComponent('dfs:node')
    this.#files = options.files
    this.#network = network
    this.#entry = entry
    this.#onUp = onUp
  }

  /** True until this node is a member. */
  get isPending(): boolean {
    return this.#entry !== undefined
  }

  get network(): string {
    return this.#network === undefined ? (this.#entry?.waiting.pending.network ?? '') : toHex(this.#network)
  }

  get peerId(): string {
    return (this.#entry?.waiting ?? this.#self).peerId
  }

  get name(): string {
    return (this.#entry?.waiting ?? this.#self).name
  }

  get role(): string {
    return (this.#entry?.waiting ?? this.#self).role
  }

  get multiaddrs(): string[] {
    return this.listening().map(address => `${address}/p2p/${this.peerId}`)
  }

  /** Returns the addresses on which it listens, without its peer id. */
  listening(): string[] {
    return this.#entry === undefined ? this.#supervisor.last.host.addresses() : []
  }

  /** Resolves once the node answers. It may be pending then, and goes on by itself. */
  async start(): Promise<void> {
    const entry = this.#entry
    if (entry === undefined) await this.#up()
    this.#entering = this.#getReady(entry)
    this.#entering.catch(() => {
      // The callers of `ready` get this error.
    })
    if (entry !== undefined) await Promise.race([this.#entering, entry.waiting.settled])
  }

  /** Also waits for the key of the network, because verbs that need it would fail before it has arrived. */
  async #getReady(entry: NodeEntry | undefined): Promise<void> {
    if (entry !== undefined) await this.#enter(entry)
    await this.#supervisor.last.keys.received(this.#stopping.signal)
  }

  async #enter(entry: NodeEntry): Promise<void> {
    try {
      this.#network = await entry.run(this.#stopping.signal)
      await this.#up()
      this.#entry = undefined
    } catch (error) {
      this.#failure = error
      throw error
    }
  }

  async #up(): Promise<void> {
    await this.#supervisor.start()
    const { self } = this.#supervisor.last.fs.members
    this.#log('up: member %s of network %s', self.peerId, this.network.slice(0, 8))
    await this.#onUp()
  }

  async status(): Promise<Status> {
    this.#assertRunning()
    if (this.#entry !== undefined) return pendingStatus(this.#entry.waiting, await diskOf(this.#files))
    const { current, last, rebuildError, worker } = this.#supervisor
    // While the index cannot be rebuilt, no stack runs, but the last stack knows most of the answer.
    const stack = await current.catch(() => last)
    return statusOf(stack, { files: await this.#countFiles(stack), rebuildError, rebuilding: worker })
  }

  peers(): Peer[] {
    return this.#entry === undefined ? peersOf(this.#supervisor.last.fs) : []
  }

  async ready({ members = 0, signal }: ReadyOptions = {}): Promise<void> {
    this.#assertRunning()
    await raceSignal(this.#entering, signal)
    const ends = signal === undefined ? this.#stopping.signal : AbortSignal.any([signal, this.#stopping.signal])
    while (this.peers().filter(({ connected }) => connected).length < members)
      await raceSignal(once(this, 'admitted', { signal: ends }), ends)
  }

  async members(options: AbortOptions = {}): Promise<MemberItem[]> {
    return (await this.#stack()).membership.list(options)
  }

  async approve(code: string, options: AbortOptions & { role?: Role | undefined } = {}): Promise<Admitted> {
    return (await this.#stack()).membership.approve(code, options)
  }

  async deny(code: string, options: AbortOptions = {}): Promise<Admitted> {
    return (await this.#stack()).membership.deny(code, options)
  }

  async setRole(member: string, role: Role): Promise<Admitted> {
    return (await this.#stack()).membership.setRole(member, role)
  }

  async declareOut(member: string): Promise<DeclaredOut> {
    return (await this.#stack()).membership.declareOut(member)
  }

  async invite(options: AbortOptions & InviteOptions = {}): Promise<MadeInvite> {
    return (await this.#stack()).membership.invite(options)
  }

  async invites(): Promise<InviteItem[]> {
    return (await this.#stack()).membership.invites()
  }

  async revokeInvite(invite: string): Promise<{ id: string }> {
    return (await this.#stack()).membership.revokeInvite(invite)
  }

  async networkInfo(): Promise<NetworkInfo> {
    return (await this.#stack()).membership.networkInfo()
  }

  async settings(): Promise<SettingItem[]> {
    return (await this.#stack()).membership.settings()
  }

  async setSetting(key: string, value: SettingValue): Promise<SettingItem> {
    return (await this.#stack()).membership.setSetting(key, value)
  }

  async forgetNetworkKey(): Promise<{ forgotten: boolean }> {
    return (await this.#stack()).membership.forgetNetworkKey()
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#log('stopping')
    this.#stopping.abort(STOPPED)
    try {
      await this.#entering.catch(error => this.#log('the entry ended: %s', reasonOf(error)))
      await this.#supervisor.stop()
    } finally {
      await this.#unlock()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  /** Passes an event on to the listeners of a program. */
  announce(event: NodeEvent): void {
    this.safeDispatchEvent(event.event, { detail: event })
  }

  get #self(): Stack['fs']['members']['self'] {
    return this.#supervisor.last.fs.members.self
  }

  /** Returns the stack that is running, once there is one. Throws for a node that is not a member. */
  async #stack(): Promise<Stack> {
    this.#assertRunning()
    if (this.#entry !== undefined) throw this.#failure ?? new PendingError(pendingText(this.#entry.waiting))
    return this.#supervisor.current
  }

  protected override async fs(): Promise<FsContext> {
    return (await this.#stack()).fs
  }

  #assertRunning(): void {
    if (this.#isStopped) throw STOPPED
  }

  /** Returns the number of files that the catalog shows. */
  async #countFiles(stack: Stack): Promise<number> {
    try {
      return await stack.fs.tree.countFiles()
    } catch (error) {
      // Without an index, files cannot be counted.
      if (this.#supervisor.rebuildError !== undefined || stack.diskMonitor.indexFailure !== undefined) return 0
      throw error
    }
  }
}
