import type { FoundNetwork, NodeEvent, NodeOptions } from '../api.ts'
import { type Candidate, drawCandidate } from '../disk/candidate.ts'
import type { Files } from '../disk/files.ts'
import type { Secrets } from '../disk/keystore.ts'
import { networkWords } from '../format/approval.ts'
import { privateKey, rawPublicKey } from '../format/network-key.ts'
import { type PeerId, peerIdOf } from '../format/peer-id.ts'
import { type ReadInvite, readInvite } from '../members/entering/invite.ts'
import { lookAround, type NetworkNearby } from '../members/entering/look-around.ts'
import { Newcomer } from '../members/entering/newcomer.ts'
import type { Entrance, ShownCode, Target, TurnedAway } from '../members/entering/newcomer-options.ts'
import { turnedAwayText } from '../members/entering/turned-away.ts'
import { isAdmitter, isMembership } from '../members/entering/verify.ts'
import type { AskedRole } from '../members/join-messages.ts'
import { EntryClient } from '../members/joining/entry-client.ts'
import { equalBytes, fromHex, toHex } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { InvalidInputError } from '../util/errors.ts'
import type { ComponentLogger } from '../util/logger.ts'
import { peerInAddress, placeOf } from '../wire/addresses.ts'
import type { Unreachable } from '../wire/redial.ts'
import { candidateFileOf, deviceName, keystoreOf, wayInOf } from './identity.ts'
import type { Pending, Waiting } from './pending-status.ts'
import type { NodeHost, Platform } from './platform.ts'

export interface EntryInit {
  options: NodeOptions
  files: Files
  platform: Platform
  clock: Clock
  chance: Chance
  logger: ComponentLogger
  onEvent: (event: NodeEvent) => void
}

const ROLE_DEFAULT: AskedRole = 'writer'

/**
 * The first phase of a node whose directory belongs to no network: it asks to be let in. It has the keys of the device,
 * which are on the disk before anybody is asked, and a host that listens nowhere. It ends with the secrets of a member
 * in the keystore, and then the rooms of the node can start.
 */
export class Entry implements Waiting {
  readonly peerId: PeerId
  readonly name: string
  /**
   * Resolves once there is nothing more to wait for before the node can answer its owner. With an invite, a member
   * usually answers within a second, so this waits for that, or until nobody has answered for a while.
   */
  readonly settled: Promise<void>
  readonly #init: EntryInit
  readonly #candidate: Candidate
  readonly #chosen: NetworkNearby | undefined
  readonly #settle: () => void
  #shown: ShownCode | undefined
  #trouble: string | undefined

  constructor(init: EntryInit, candidate: Candidate, chosen: NetworkNearby | undefined) {
    this.#init = init
    this.#candidate = candidate
    this.#chosen = chosen
    this.peerId = peerIdOf(rawPublicKey(privateKey('ed25519', candidate.device)))
    this.name = deviceName(init.options.name)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.settled = promise
    this.#settle = resolve
  }

  get role(): AskedRole {
    return this.#init.options.role ?? ROLE_DEFAULT
  }

  get pending(): Pending {
    const { code, network, untilMs } = this.#shown ?? {}
    return {
      code: code ?? null,
      network: network === undefined ? null : toHex(network),
      words: network === undefined ? null : networkWords(network),
      role: this.role,
      expiresAtMs: untilMs ?? null,
      trouble: this.#trouble ?? null
    }
  }

  /**
   * Asks until this machine is let in. Returns its secrets, which are durable then, and the address of the member that
   * let it in. Throws the reason if it will not be let in, that of the signal, and the errors of the disk. `onKept` is
   * called once the keys of the device are on the disk, and `onGranted` once it has been let in.
   */
  async run(
    signal: AbortSignal,
    { onKept, onGranted }: { onKept: () => void; onGranted: () => void }
  ): Promise<{ secrets: Secrets; address: string | undefined }> {
    const { options, files } = this.#init
    const invite = options.join === undefined ? undefined : await readInvite(options.join)
    const candidates = candidateFileOf(options, files)
    await candidates.save(this.#candidate)
    onKept()
    const { network, statements, address } = await this.#ask(invite, signal)
    onGranted()
    const secrets: Secrets = { ...this.#candidate, network, epochs: [], grants: [...statements] }
    await keystoreOf(options, files).save(secrets)
    await candidates.remove()
    return { secrets, address }
  }

  async #ask(invite: ReadInvite | undefined, signal: AbortSignal): Promise<Entrance> {
    const { clock, chance, logger, options } = this.#init
    const host = await newcomerHost(this.#init, this.#candidate, invite !== undefined)
    const key = privateKey('ed25519', this.#candidate.device)
    const x25519 = rawPublicKey(privateKey('x25519', this.#candidate.x25519))
    const device = { key, publicKey: rawPublicKey(key), x25519 }
    const log = logger.forComponent('dfs:members:entering')
    const own = (options.bootstrap ?? []).map(targetOf)
    const nearby = (this.#chosen?.peers ?? []).map(found => ({ ...found, isVouched: false }))
    const targets = [...own, ...(invite?.targets ?? []), ...nearby]
    const newcomer = new Newcomer({
      host,
      client: new EntryClient(host, clock),
      clock,
      chance,
      logger,
      device,
      name: this.name,
      role: this.role,
      targets,
      named: own.length > 0 ? own.length : targets.length,
      network: invite?.network ?? this.#chosen?.network,
      invite,
      choose: this.#chooseOf(),
      verify: (statements, network) => isMembership(statements, network, { ...device, log }),
      admits: (statements, network, peer) => isAdmitter(statements, network, { peer, nowMs: clock.now(), log }),
      onCode: shown => this.#show(shown),
      onTurnedAway: answer => this.#tellTurnedAway(answer),
      onUnreachable: unreachable => this.#tellUnreachable(unreachable),
      onSilence: () => this.#settle()
    })
    if (invite === undefined) this.#settle()
    this.#init.onEvent({ event: 'seeking', addresses: targets.flatMap(({ addresses }) => addresses.map(placeOf)) })
    try {
      await host.start()
      return await newcomer.run(signal)
    } finally {
      await host.stop()
    }
  }

  #show(shown: ShownCode): void {
    this.#shown = shown
    this.#trouble = undefined
    const { code, network, untilMs } = shown
    const words = networkWords(network)
    this.#init.onEvent({
      event: 'pending',
      code,
      network: toHex(network),
      words,
      role: this.role,
      expires: new Date(untilMs)
    })
  }

  /** Reports an answer that did not let this machine in. From then on the node can answer its owner. */
  #tellTurnedAway(answer: TurnedAway): void {
    const { peer, address, reason } = answer
    this.#trouble = turnedAwayText(answer)
    this.#init.onEvent({ event: 'turned-away', peerId: peer, address, reason, message: this.#trouble })
    this.#settle()
  }

  #tellUnreachable({ address, reason }: Unreachable): void {
    const place = placeOf(address)
    this.#trouble = `nobody answered at ${place} (${reason})`
    this.#init.onEvent({ event: 'unreachable', address: place, reason })
  }

  /** Returns the function that asks the owner whether the network at an address without a peer id is the right one. */
  #chooseOf(): ((network: Uint8Array, target: Target) => Promise<boolean>) | undefined {
    const { choose } = this.#init.options
    if (choose === undefined) return undefined
    return async (network, { addresses, peer }) => {
      const peers = [{ peer: peer ?? '', addresses: [...addresses] }]
      return (await choose([shownNetwork({ network, peers })])) !== 'found'
    }
  }
}

/**
 * Prepares the entry of a new directory. Returns undefined if there is no network nearby to join, or if the owner would
 * rather found one. Throws what the owner's `choose` throws, and an `InvalidInputError` instead of founding if this device
 * has asked to be let in before.
 */
export async function prepareEntry(init: EntryInit): Promise<Entry | undefined> {
  const { options, files, chance } = init
  const kept = await candidateFileOf(options, files).load()
  const candidate = kept ?? drawCandidate(chance)
  if (wayInOf(options) !== 'look') return new Entry(init, candidate, undefined)
  const found = options.mdns === false ? [] : await look(init, candidate)
  init.logger.forComponent('dfs:node')('networks nearby: %d', found.length)
  // A member may have let this device in meanwhile, so it founds nothing, and its owner is asked nothing in vain.
  if (kept !== undefined && found.length === 0) throw hasAsked()
  const chosen = await choose(found, options)
  if (chosen !== undefined) return new Entry(init, candidate, chosen)
  if (kept !== undefined) throw hasAsked()
  return undefined
}

function hasAsked(): InvalidInputError {
  return new InvalidInputError(
    'this machine has asked a network to let it in: start it as before, with --bootstrap or --join, or pass --new to found a network of its own'
  )
}

/** Asks the owner about the networks that answer nearby. Returns undefined if the owner would rather found one. */
async function choose(
  found: readonly NetworkNearby[],
  options: Pick<NodeOptions, 'choose'>
): Promise<NetworkNearby | undefined> {
  const choice = (await options.choose?.(found.map(shownNetwork))) ?? 'found'
  return choice === 'found' ? undefined : found.find(({ network }) => equalBytes(network, fromHex(choice.network)))
}

async function look(init: EntryInit, candidate: Candidate): Promise<NetworkNearby[]> {
  const { clock, logger, onEvent } = init
  onEvent({ event: 'seeking', addresses: [] })
  const host = await newcomerHost(init, candidate, true)
  try {
    return await lookAround({ host, client: new EntryClient(host, clock), clock, logger })
  } finally {
    await host.stop()
  }
}

function newcomerHost(init: EntryInit, { device }: Candidate, mdns: boolean): Promise<NodeHost> {
  const { platform, clock, logger } = init
  return platform.host({ secrets: { device }, listen: [], mdns, clock, logger })
}

function targetOf(address: string): Target {
  const peer = peerInAddress(address)
  return { addresses: [address], peer, isVouched: peer !== undefined }
}

function shownNetwork({ network, peers }: NetworkNearby): FoundNetwork {
  return {
    network: toHex(network),
    words: networkWords(network),
    peers: peers.map(({ peer, addresses }) => ({ peerId: peer, addresses: [...addresses] }))
  }
}
