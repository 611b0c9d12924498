import type {
  Admitted,
  DfsNode,
  InviteItem,
  InviteOptions,
  MadeInvite,
  MemberItem,
  NetworkInfo,
  Peer,
  Role,
  Status
} from '../api.ts'
import { parsePath } from '../format/path.ts'
import type { FsContext } from '../fs/context.ts'
import { copyPath } from '../fs/copy.ts'
import { evictPath } from '../fs/evict.ts'
import { openFile } from '../fs/get.ts'
import { listPath } from '../fs/list.ts'
import { makeDirectory } from '../fs/mkdir.ts'
import { movePath } from '../fs/move.ts'
import { putFile } from '../fs/put.ts'
import { removePath } from '../fs/remove.ts'
import { statPath } from '../fs/stat.ts'
import type {
  AbortOptions,
  EvictResult,
  GetOptions,
  ListItem,
  OpenFile,
  PutOptions,
  PutResult,
  RemoveResult,
  Source,
  Stat
} from '../fs/types.ts'
import { toHex } from '../util/bytes.ts'
import { StoppedError } from '../util/errors.ts'
import type { Logger } from '../util/logger.ts'
import type { MembershipVerbs } from './membership-verbs.ts'
import { peersOf, statusOf } from './report.ts'
import type { Stack } from './stack.ts'
import { Supervisor, type SupervisorOptions } from './supervisor.ts'

export interface NodeInit extends SupervisorOptions {
  /** Releases the lock of the data directory. */
  unlock: () => Promise<void>
  network: Uint8Array
}

/**
 * The running node, as the library exposes it. Each verb is passed to the stack that is running, and waits while the
 * supervisor replaces that stack.
 */
export class Node implements DfsNode {
  readonly network: string
  readonly #supervisor: Supervisor
  readonly #unlock: () => Promise<void>
  readonly #log: Logger
  #isStopped = false

  constructor({ unlock, network, ...options }: NodeInit) {
    this.#supervisor = new Supervisor(options)
    this.#unlock = unlock
    this.#log = options.logger.forComponent('dfs:node')
    this.network = toHex(network)
  }

  get peerId(): string {
    return this.#self.peerId
  }

  get name(): string {
    return this.#self.name
  }

  get role(): string {
    return this.#self.role
  }

  get multiaddrs(): string[] {
    return this.listening().map(address => `${address}/p2p/${this.peerId}`)
  }

  /** Returns the addresses on which it listens, without its peer id. */
  listening(): string[] {
    return this.#supervisor.last.host.addresses()
  }

  async start(): Promise<void> {
    await this.#supervisor.start()
    this.#log('up: member %s of network %s', this.peerId, this.network.slice(0, 8))
  }

  async put(path: string, source: Source, options: PutOptions = {}): Promise<PutResult> {
    return putFile(await this.#fs(), parsePath(path), source, options)
  }

  async get(path: string, options: GetOptions = {}): Promise<OpenFile> {
    return openFile(await this.#fs(), parsePath(path), options)
  }

  async *list(
    path: string,
    options: AbortOptions & { recursive?: boolean | undefined } = {}
  ): AsyncGenerator<ListItem> {
    yield* listPath(await this.#fs(), parsePath(path), options)
  }

  async stat(path: string, options: AbortOptions = {}): Promise<Stat> {
    return statPath(await this.#fs(), parsePath(path), options)
  }

  async mkdir(path: string, options: AbortOptions = {}): Promise<{ path: string }> {
    return makeDirectory(await this.#fs(), parsePath(path), options)
  }

  async move(
    from: string,
    to: string,
    options: AbortOptions & { noClobber?: boolean | undefined } = {}
  ): Promise<{ from: string; path: string }> {
    return movePath(await this.#fs(), parsePath(from), parsePath(to), options)
  }

  async copy(
    from: string,
    to: string,
    options: AbortOptions & { noClobber?: boolean | undefined } = {}
  ): Promise<{ from: string; path: string }> {
    return copyPath(await this.#fs(), parsePath(from), parsePath(to), options)
  }

  async remove(
    path: string,
    options: AbortOptions & { recursive?: boolean | undefined; ifTag?: string | undefined } = {}
  ): Promise<RemoveResult> {
    return removePath(await this.#fs(), parsePath(path), options)
  }

  async evict(path: string, options: AbortOptions = {}): Promise<EvictResult> {
    return evictPath(await this.#fs(), parsePath(path), options.signal)
  }

  async status(): Promise<Status> {
    this.#assertRunning()
    const { current, last, rebuildError, worker } = this.#supervisor
    // While the index cannot be rebuilt, no stack runs, but the last stack knows most of the answer.
    const stack = await current.catch(() => last)
    return statusOf(stack, { files: await this.#countFiles(stack), rebuildError, rebuilding: worker })
  }

  peers(): Peer[] {
    return peersOf(this.#supervisor.last.fs.members)
  }

  async ready(): Promise<void> {}

  async members(options: AbortOptions = {}): Promise<MemberItem[]> {
    return (await this.#membership()).list(options)
  }

  async approve(code: string, options: AbortOptions & { role?: Role | undefined } = {}): Promise<Admitted> {
    return (await this.#membership()).approve(code, options)
  }

  async deny(code: string, options: AbortOptions = {}): Promise<Admitted> {
    return (await this.#membership()).deny(code, options)
  }

  async setRole(member: string, role: Role): Promise<Admitted> {
    return (await this.#membership()).setRole(member, role)
  }

  async invite(options: AbortOptions & InviteOptions = {}): Promise<MadeInvite> {
    return (await this.#membership()).invite(options)
  }

  async invites(): Promise<InviteItem[]> {
    return (await this.#membership()).invites()
  }

  async revokeInvite(invite: string): Promise<{ id: string }> {
    return (await this.#membership()).revokeInvite(invite)
  }

  async networkInfo(): Promise<NetworkInfo> {
    return (await this.#membership()).networkInfo()
  }

  async forgetNetworkKey(): Promise<{ forgotten: boolean }> {
    return (await this.#membership()).forgetNetworkKey()
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#log('stopping')
    try {
      await this.#supervisor.stop()
    } finally {
      await this.#unlock()
    }
  }

  get #self(): Stack['fs']['members']['self'] {
    return this.#supervisor.last.fs.members.self
  }

  async #fs(): Promise<FsContext> {
    this.#assertRunning()
    return (await this.#supervisor.current).fs
  }

  async #membership(): Promise<MembershipVerbs> {
    this.#assertRunning()
    return (await this.#supervisor.current).membership
  }

  #assertRunning(): void {
    if (this.#isStopped) throw new StoppedError('this node has been stopped')
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
