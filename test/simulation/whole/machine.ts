import type { NodeEvent, NodeOptions } from '../../../src/api.ts'
import { openFormat } from '../../../src/disk/data-directory.ts'
import type { KeepSecrets, Secrets } from '../../../src/disk/keystore.ts'
import { Reserve } from '../../../src/disk/reserve.ts'
import { privateKey, rawPublicKey } from '../../../src/format/network-key.ts'
import { type PeerId, peerIdOf } from '../../../src/format/peer-id.ts'
import { keystoreOf, secretsOf } from '../../../src/node/identity.ts'
import { Node } from '../../../src/node/node.ts'
import type { Platform } from '../../../src/node/platform.ts'
import { type Stack, startStack } from '../../../src/node/stack.ts'
import type { Chance } from '../../../src/util/chance.ts'
import type { Clock } from '../../../src/util/clock.ts'
import type { ComponentLogger } from '../../../src/util/logger.ts'
import { seededChance } from '../../fixtures/seeded-chance.ts'
import { SimDatabase } from './sim-database.ts'
import { SimDisk, SimFiles } from './sim-files.ts'
import { SimHost, type SimNetwork } from './sim-network.ts'
import { SimProcess, type SimTime } from './sim-time.ts'

export interface MachineInit {
  name: string
  seed: number
  time: SimTime
  network: SimNetwork
  networkKey: Uint8Array
  /** The names of all machines. */
  names: readonly string[]
  options?: Partial<NodeOptions>
  /** Makes the secrets with which this machine starts for the first time. By default it is an admin. */
  secrets?: ((clock: Clock, chance: Chance) => Secrets) | undefined
  logger: ComponentLogger
  onEvent: (machine: Machine, event: NodeEvent) => void
}

/** A machine with a disk, on which a node runs, or has run. */
export class Machine {
  readonly name: string
  readonly disk: SimDisk
  /** True for a machine that is never started again. */
  isDestroyed = false
  /** How far the wall clock of this machine is off. */
  skewMs = 0
  starts = 0
  process: SimProcess
  node: Node | undefined
  stack: Stack | undefined
  secrets: Secrets | undefined
  peerId: PeerId = ''
  #hosts: SimHost[] = []
  readonly #init: MachineInit

  constructor(init: MachineInit) {
    this.#init = init
    this.name = init.name
    this.disk = new SimDisk(seededChance(init.seed ^ 0x51f15e))
    this.process = new SimProcess(init.time)
    this.process.kill()
  }

  get address(): string {
    return `/memory/${this.name}`
  }

  get isUp(): boolean {
    return this.node !== undefined && !this.process.isDead
  }

  get host(): SimHost | undefined {
    return this.#hosts.at(-1)
  }

  /** Starts a node on this disk, as `createNode` does on a data directory that it has locked. */
  async start(): Promise<void> {
    const { time, network, names, networkKey, logger, seed } = this.#init
    this.starts++
    this.endLinks()
    const process = new SimProcess(time)
    process.skewMs = this.skewMs
    this.process = process
    const chance = seededChance(seed + 7_919 * this.starts)
    const files = new SimFiles(this.disk, process)
    const bootstrap = names.filter(name => name !== this.name).map(name => `/memory/${name}`)
    const options: NodeOptions = {
      dataDir: this.name,
      name: this.name,
      networkKey,
      bootstrap,
      clock: process,
      chance,
      ...this.#init.options
    }
    const { storeId, capacityBytes: measuredBytes, isNew } = await openFormat(files, chance, logger)
    if (isNew && this.#init.secrets !== undefined)
      await keystoreOf(options, files).save(this.#init.secrets(process, chance))
    const secrets = await secretsOf(options, files)
    this.secrets = secrets
    const onEvent = (event: NodeEvent): void => this.#init.onEvent(this, event)
    const reserve = new Reserve({ files, chance, logger })
    const platform: Platform = {
      database: () =>
        new SimDatabase({
          rows: this.disk.rows,
          operation: (name, bytes) => this.disk.operation(process, name, bytes)
        }).asDatabase,
      host: async ({ secrets: { device } }) => {
        const host = new SimHost(network, this.address, peerIdOf(rawPublicKey(privateKey('ed25519', device))), process)
        this.#hosts.push(host)
        return host
      }
    }
    const keystore = keystoreOf(options, files)
    const keep: KeepSecrets = async change => {
      await keystore.update(change)
    }
    const disk = { files, platform, storeId, measuredBytes }
    const fixed = { ...disk, options, entryAddresses: [], secrets, keep, clock: process, chance, logger, onEvent }
    const replicas = (options.replicas as number | undefined) ?? 3
    const node = new Node({
      files,
      makeRoom: () => reserve.release(),
      unlock: async () => {},
      clock: process,
      logger,
      onEvent,
      network: secrets.network,
      startStack: async (onDoubt, listening) => {
        const stack = await startStack({
          ...fixed,
          own: { replicas, ack: undefined, chunker: undefined },
          onDoubt,
          isNew: isNew && listening === undefined,
          listen: []
        })
        this.stack = stack
        return stack
      }
    })
    await node.start()
    this.node = node
    this.peerId = node.peerId
  }

  /** Sets the wall clock of this machine, also that of a process that runs. */
  setClock(skewMs: number): void {
    this.skewMs = skewMs
    this.process.skewMs = skewMs
  }

  /** Stops the node cleanly. */
  async stop(): Promise<void> {
    const { node, process } = this
    this.node = undefined
    await node?.stop()
    if (this.process === process) {
      process.kill()
      this.disk.killed()
    }
    this.endLinks()
  }

  /** Kills the process. Its writes stay, synced or not. The other machines notice at once. */
  kill(): void {
    this.#end()
    this.disk.killed()
    this.endLinks()
  }

  /** Cuts the power. The others notice when this machine is back, or when they have waited for too long. */
  powerCut(): void {
    this.#end()
    this.disk.powerCut()
  }

  /** Ends the connections of processes that are gone. */
  endLinks(): void {
    for (const host of this.#hosts) if (host.process.isDead) void host.stop()
    this.#hosts = this.#hosts.filter(host => !host.process.isDead)
    this.#init.network.endDead()
  }

  #end(): void {
    this.process.kill()
    this.node = undefined
    this.stack = undefined
  }
}
