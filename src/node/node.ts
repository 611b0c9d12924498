import type { DfsNode, NodeEvent, NodeOptions, Peer, Status } from '../api.ts'
import { makeDataDirectory, openFormat } from '../disk/data-directory.ts'
import { IndexCorruptError } from '../disk/errors.ts'
import { type Files, replaceFile } from '../disk/files.ts'
import { lockDirectory } from '../disk/lock.ts'
import { MonitoredFiles } from '../disk/monitored-files.ts'
import { LABEL_BYTES_MAX } from '../format/constants.ts'
import { parsePath } from '../format/path.ts'
import { copiesOf, type FsContext } from '../fs/context.ts'
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
import { OUT_AFTER_MS_MAX } from '../members/constants.ts'
import { toHex, utf8 } from '../util/bytes.ts'
import { systemChance } from '../util/chance.ts'
import { type Clock, systemClock } from '../util/clock.ts'
import { codeOf, InvalidInputError, StoppedError } from '../util/errors.ts'
import { debugLogger } from '../util/logger.ts'
import { secretsOf } from './identity.ts'
import { defaultListen, rememberPorts } from './ports.ts'
import { peersOf, statusOf } from './report.ts'
import { removeIndex, type Stack, startStack } from './stack.ts'

const REPLICAS_DEFAULT = 3
/** Left in the data directory once the index is in doubt, so that a crash before its rebuild does not hide the doubt. */
const DOUBT = 'index.doubt'
const OUT_AFTER_MS_MIN = 1_000
/** A rebuild that failed is tried again after this long, then later and later: each reads the whole log. */
const REBUILD_RETRY_MS = 5_000
const REBUILD_RETRY_MS_MAX = 10 * 60_000

/**
 * Starts a node on a data directory, as the member it is, or, in a new directory, as admin of the network whose key is
 * given, or of one that it founds. Resolves once it answers.
 *
 * Errors: `locked` if another process has the directory, `wrong-key` for the passphrase, `not-allowed` if there is an
 * address to join at and neither key nor `found`, `invalid` for options that can never work or a directory of another
 * network, `port-taken`, `unsupported` for a directory of an unknown layout or one that has lost its keystore, and those of
 * the disk.
 */
export async function createNode(options: NodeOptions): Promise<DfsNode> {
  checkOptions(options)
  const { dataDir, clock = systemClock, chance = systemChance, logger = debugLogger } = options
  await makeDataDirectory(dataDir)
  const unlock = await lockDirectory(dataDir, { logger })
  try {
    const files = new MonitoredFiles(dataDir)
    const { storeId, isNew } = await openFormat(files, chance, logger)
    const secrets = await secretsOf(options, files)
    const listen = options.listen ?? (options.transports === undefined ? await defaultListen(files) : [])
    const defaults = {
      replicas: copiesOf(options.replicas) ?? REPLICAS_DEFAULT,
      ack: copiesOf(options.ack)
    }
    const onEvent = options.onEvent ?? (() => {})
    const node = new Node({ files, unlock, clock, onEvent, network: secrets.network }, (onDoubt, listening) =>
      startStack({
        options,
        files,
        secrets,
        storeId,
        // A stack that takes the place of another has what that one wrote.
        isNew: isNew && listening === undefined,
        listen: listening ?? listen,
        clock,
        chance,
        defaults,
        onEvent,
        onDoubt
      })
    )
    await node.start()
    if (options.listen === undefined && options.transports === undefined) await rememberPorts(files, node.listening())
    return node
  } catch (error) {
    await unlock()
    throw error
  }
}

export interface NodeInit {
  files: Files & Pick<MonitoredFiles, 'state'>
  unlock: () => Promise<void>
  clock: Clock
  onEvent: (event: NodeEvent) => void
  network: Uint8Array
}

export type StartStack = (
  onDoubt: (error: IndexCorruptError) => void,
  listen: readonly string[] | undefined
) => Promise<Stack>

/** The running node: its verbs go to the stack that runs at the moment, and wait while another takes its place. */
export class Node implements DfsNode {
  readonly network: string
  readonly #init: NodeInit
  readonly #startStack: StartStack
  #stack: Promise<Stack>
  #running: Stack | undefined
  readonly #stopped = new AbortController()
  #isRebuilding = false
  /** Why the index could not be made anew, while that is so. */
  #rebuildFault: unknown
  #fileCount: { base: Promise<number>; stack: Stack } | undefined

  constructor(init: NodeInit, startStack: StartStack) {
    this.#init = init
    this.#startStack = startStack
    this.network = toHex(init.network)
    this.#stack = Promise.reject(new StoppedError('this node has not started'))
    this.#stack.catch(() => {})
  }

  get peerId(): string {
    return this.#now.fs.members.self.peerId
  }

  get name(): string {
    return this.#now.fs.members.self.name
  }

  get role(): string {
    return this.#now.fs.members.self.role
  }

  get multiaddrs(): string[] {
    return this.listening().map(address => `${address}/p2p/${this.peerId}`)
  }

  listening(): string[] {
    return this.#now.host.addresses()
  }

  async start(): Promise<void> {
    if (await this.#isInDoubt()) await removeIndex(this.#init.files)
    this.#stack = this.#open(undefined)
    await this.#stack
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

  async stat(path: string): Promise<Stat> {
    return statPath(await this.#fs(), parsePath(path))
  }

  async mkdir(path: string): Promise<{ path: string }> {
    return makeDirectory(await this.#fs(), parsePath(path))
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
    // While the index cannot be made anew nothing runs, but what ran last knows most of the answer.
    const stack = await this.#stack.catch(() => this.#now)
    return statusOf(stack, await this.#countFiles(stack), this.#rebuildFault)
  }

  peers(): Peer[] {
    return peersOf(this.#now.fs.members)
  }

  async stop(): Promise<void> {
    if (this.#stopped.signal.aborted) return
    this.#stopped.abort()
    try {
      await this.#stack.catch(() => {})
      await this.#running?.stop()
    } finally {
      await this.#init.unlock()
    }
  }

  async #fs(): Promise<FsContext> {
    this.#assertRunning()
    return (await this.#stack).fs
  }

  #assertRunning(): void {
    if (this.#stopped.signal.aborted) throw new StoppedError('this node has been stopped')
  }

  get #now(): Stack {
    if (this.#running === undefined) throw new StoppedError('this node has not started')
    return this.#running
  }

  /** Starts a stack; with a fresh index if the one there cannot be trusted. */
  async #open(listen: readonly string[] | undefined): Promise<Stack> {
    const { files, onEvent } = this.#init
    let stack: Stack
    let lostRows = 0
    try {
      stack = await this.#startStack(error => void this.#rebuild(error), listen)
    } catch (error) {
      if (!(error instanceof IndexCorruptError)) throw error
      // What only the old index knew to be gone.
      lostRows = error.damagedRows
      await removeIndex(files)
      stack = await this.#startStack(error => void this.#rebuild(error), listen)
    }
    stack.report.damagedRows += lostRows
    await files.remove(DOUBT)
    const { rebuilt, replayedRows, damagedRows } = stack.report
    if (rebuilt && replayedRows > 0) onEvent({ event: 'rebuilt', rows: replayedRows })
    if (damagedRows > 0) onEvent({ event: 'damaged', rows: damagedRows })
    this.#running = stack
    return stack
  }

  /**
   * The index has lost or garbled a row while it was in use: the stack ends, and another starts on an index made anew.
   * Verbs that come meanwhile wait; those under way fail and may be tried again. While it cannot be made, since the disk
   * is full or does not answer, verbs fail with the reason, and it is tried again for as long as this node runs.
   */
  async #rebuild(_error: IndexCorruptError): Promise<void> {
    const { clock, onEvent } = this.#init
    const { signal } = this.#stopped
    const before = this.#running
    if (this.#isRebuilding || signal.aborted || before === undefined) return
    this.#isRebuilding = true
    const listen = this.listening()
    for (let waitMs = REBUILD_RETRY_MS; !signal.aborted; waitMs = Math.min(2 * waitMs, REBUILD_RETRY_MS_MAX)) {
      try {
        this.#stack = this.#replace(before, listen)
        await this.#stack
        this.#rebuildFault = undefined
        break
      } catch (error) {
        this.#rebuildFault = error
        onEvent({ event: 'failed', code: codeOf(error), task: 'rebuild' })
      }
      if (!signal.aborted) await clock.sleep(waitMs, signal).catch(() => {})
    }
    this.#isRebuilding = false
  }

  async #replace(before: Stack, listen: readonly string[]): Promise<Stack> {
    const { files } = this.#init
    try {
      // First, or a crash after a clean stop would hide the doubt.
      await replaceFile(files, DOUBT, new Uint8Array(0))
    } finally {
      await before.stop()
    }
    await removeIndex(files)
    return this.#open(listen)
  }

  async #isInDoubt(): Promise<boolean> {
    return (await this.#init.files.size(DOUBT)) !== undefined
  }

  async #countFiles(stack: Stack): Promise<number> {
    if (this.#fileCount?.stack !== stack) {
      const since = stack.projection.fileDelta
      this.#fileCount = { stack, base: stack.fs.tree.countFiles().then(count => count - since) }
    }
    try {
      return (await this.#fileCount.base) + stack.projection.fileDelta
    } catch (error) {
      this.#fileCount = undefined
      // Without an index nobody knows.
      if (this.#rebuildFault !== undefined) return 0
      throw error
    }
  }
}

function checkOptions({ name, networkKey, capacityBytes, outAfterMs }: NodeOptions): void {
  if (name !== undefined && (name === '' || utf8(name).byteLength > LABEL_BYTES_MAX || !name.isWellFormed()))
    throw new InvalidInputError(`a device's name has 1 to ${LABEL_BYTES_MAX} bytes`)
  if (networkKey !== undefined && networkKey.byteLength !== 32)
    throw new InvalidInputError('a network key has 32 bytes')
  if (capacityBytes !== undefined && !(Number.isSafeInteger(capacityBytes) && capacityBytes > 0))
    throw new InvalidInputError('a capacity is a whole number of bytes')
  if (outAfterMs !== undefined && !(outAfterMs >= OUT_AFTER_MS_MIN && outAfterMs <= OUT_AFTER_MS_MAX))
    throw new InvalidInputError(`a member counts as out after 1 second to 30 days`)
}
