import { hash, type KeyObject } from 'node:crypto'
import { SealError } from '../format/errors.ts'
import { openHandover, sealHandover } from '../format/handover.ts'
import type { Fields, Role } from '../format/kinds.ts'
import type { PeerId } from '../format/peer-id.ts'
import type { Verdict } from '../log/projection.ts'
import { equalBytes, shortHex, toHex } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import type { Clock } from '../util/clock.ts'
import { withDeadline } from '../util/deadline.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { Worker } from '../util/worker.ts'
import type { Authority, Member } from './authority.ts'
import { KEY_REQUEST_MS, KEY_WAIT_MS } from './constants.ts'
import type { Epochs } from './epochs.ts'
import type { Handover, Handovers } from './handovers.ts'
import type { KeyRing } from './key-ring.ts'
import type { LocalMember } from './local-member.ts'

/** The key of an epoch, 32 bytes. */
export interface EpochKey {
  id: Uint8Array
  key: Uint8Array
}

/** The epoch keys that this member holds, and how it hands them over. */
export interface KeyKeeper {
  readonly held: readonly EpochKey[]
  /** Returns a handover of a key that is held, which the caller signs; undefined for a device that may not read. */
  handoverFor(
    member: { key: Uint8Array; x25519: Uint8Array; role: Role },
    epoch: Uint8Array
  ): Fields<'handover'> | undefined
}

/** A public key that handovers to this member name, and the private key that opens them. */
export interface Recipient {
  /** Its device key, or the recovery key of the network. */
  key: Uint8Array
  x25519: KeyObject
}

export interface KeyReceiverOptions {
  self: LocalMember
  recipients: readonly Recipient[]
  /** The keys of the keystore. */
  held: readonly EpochKey[]
  keys: KeyRing
  epochs: Epochs
  handovers: Handovers
  roster: Pick<Authority, 'member' | 'isEffective' | 'onChange'>
  clock: Clock
  chance: Chance
  logger: ComponentLogger
  /**
   * Returns false if this key does not open the records of the epoch that are here. The first epoch needs this check,
   * because no statement has the hash of its key.
   */
  opensAny: (epoch: Uint8Array, key: Uint8Array) => Promise<boolean>
  /** Writes a key to the keystore. */
  keep: (key: EpochKey) => Promise<void>
  /** The members that we may ask. */
  admitted: () => readonly PeerId[]
  /** Asks a member for a handover of an epoch's key to us. Returns the bytes of the statement. */
  ask: (peer: PeerId, epoch: Uint8Array, signal: AbortSignal) => Promise<Uint8Array>
  /** Checks a statement, and adds it to the log. */
  receive: (statement: Uint8Array, from: PeerId) => Promise<Verdict>
}

/**
 * Receives the keys of epochs that others hand over to this member, and asks for those that it lacks. A key counts only
 * if it is that of its epoch: the statement which opened the epoch has its hash. The first epoch has no statement. Its
 * key counts if an admin or an issuer of our own grant handed it over, and if it opens what is here.
 *
 * The log keeps the handovers, so a key that could not be written to the keystore is received again at the next start.
 */
export class KeyReceiver implements KeyKeeper {
  readonly worker: Worker
  readonly #options: KeyReceiverOptions
  readonly #log: Logger
  readonly #held: EpochKey[]
  /** Settles once this member holds a key under which it can write. */
  readonly #first = Promise.withResolvers<void>()
  /** When each key that is missing was last asked for, by epoch; monotonic time. */
  readonly #askedAtMs = new Map<string, number>()

  constructor(options: KeyReceiverOptions) {
    this.#options = options
    const { held, handovers, keys, epochs, roster, clock, logger } = options
    this.#held = [...held]
    this.#log = logger.forComponent('dfs:members:keys')
    this.worker = new Worker({
      name: 'key request',
      clock,
      log: this.#log,
      everyMs: KEY_REQUEST_MS,
      firstMs: 0,
      work: signal => this.#receiveMissing(signal)
    })
    const wake = (): void => this.worker.wake()
    handovers.onChange(wake)
    epochs.onChange(wake)
    roster.onChange(wake)
    const lookAtRing = (): void => {
      if (keys.newest !== undefined) this.#first.resolve()
    }
    keys.onAdded(lookAtRing)
    lookAtRing()
  }

  get held(): readonly EpochKey[] {
    return this.#held
  }

  /**
   * Resolves once this member holds a key to write and read with, and at once for a storage member, which gets none.
   * Returns false if no key has arrived within `KEY_WAIT_MS`. Throws only the reason of the signal.
   */
  async received(signal: AbortSignal): Promise<boolean> {
    const { self, clock } = this.#options
    if (self.role === 'storage') return true
    try {
      await withDeadline(clock, KEY_WAIT_MS, signal, () => this.#first.promise)
      return true
    } catch (error) {
      signal.throwIfAborted()
      this.#log('no key has arrived yet: %s', reasonOf(error))
      return false
    }
  }

  handoverFor(
    { key, x25519, role }: { key: Uint8Array; x25519: Uint8Array; role: Role },
    epoch: Uint8Array
  ): Fields<'handover'> | undefined {
    const { self, chance } = this.#options
    const held = this.#held.find(({ id }) => equalBytes(id, epoch))
    if (role === 'storage' || held === undefined) return undefined
    const facts = { network: self.network, epoch, recipient: key, x25519, epochKey: held.key }
    return { epoch, recipient: key, box: sealHandover(facts, chance.bytes(32)) }
  }

  /** Opens the handovers of keys that are missing, and asks a member for each key that nobody has handed over. */
  async #receiveMissing(signal: AbortSignal): Promise<void> {
    const { self, keys, epochs, clock } = this.#options
    if (self.role === 'storage') return
    for (const epoch of epochs.ids) {
      if (keys.has(epoch) || (await this.#openAny(epoch))) continue
      // This worker also wakes for reasons that have nothing to do with a missing key, so it limits its own requests.
      const askedAtMs = this.#askedAtMs.get(toHex(epoch)) ?? Number.NEGATIVE_INFINITY
      if (clock.monotonic() - askedAtMs >= KEY_REQUEST_MS) await this.#ask(epoch, signal)
    }
  }

  /** Returns true once the key of an epoch has been opened. */
  async #openAny(epoch: Uint8Array): Promise<boolean> {
    for (const handover of this.#options.handovers.of(epoch)) if (await this.#open(handover)) return true
    return false
  }

  async #open(handover: Handover): Promise<boolean> {
    const { keys, handovers, keep } = this.#options
    const { epoch } = handover.statement.fields
    const key = this.#keyIn(handover)
    // It may still count later: once its signer is an admin, or once more of the records are here.
    if (key === undefined || !(await this.#isOf(handover, key))) return false
    await keep({ id: epoch, key }).catch(error =>
      this.#log.error('the key of an epoch could not be written to the keystore: %s', reasonOf(error))
    )
    this.#held.push({ id: epoch, key })
    keys.add(epoch, key)
    this.#askedAtMs.delete(toHex(epoch))
    for (const used of handovers.of(epoch)) handovers.drop(used)
    this.#log('received the key of epoch %s', shortHex(epoch))
    return true
  }

  /** Returns the key in a handover; undefined if it does not open. */
  #keyIn(handover: Handover): Uint8Array | undefined {
    const { self, recipients, handovers } = this.#options
    const { epoch, recipient, box } = handover.statement.fields
    const own = recipients.find(({ key }) => equalBytes(key, recipient))
    try {
      return own && openHandover({ network: self.network, epoch, recipient, x25519: own.x25519 }, box)
    } catch (error) {
      if (!(error instanceof SealError)) throw error
      this.#log('a handover does not open: %s', reasonOf(error))
      handovers.drop(handover)
      return undefined
    }
  }

  async #isOf(handover: Handover, key: Uint8Array): Promise<boolean> {
    const { self, epochs, handovers, opensAny } = this.#options
    const { epoch } = handover.statement.fields
    if (equalBytes(epoch, self.network)) return this.#isTrusted(handover) && opensAny(epoch, key)
    const expected = epochs.hashOf(epoch)
    if (expected === undefined) return false
    if (equalBytes(hash('sha256', key, 'buffer'), expected)) return true
    this.#log('a handover does not hold the key of its epoch')
    handovers.drop(handover)
    return false
  }

  /** Returns true if a handover is by an admin, or by a member on which our own grant rests. */
  #isTrusted({ statement, author, role }: Handover): boolean {
    const { roster } = this.#options
    const isByAdmin = role === 'admin' && statement.grant !== null && roster.isEffective(statement.grant)
    return isByAdmin || this.#isIssuer(author)
  }

  #isIssuer(key: Uint8Array): boolean {
    return this.#options.self.chain.slice(0, -1).some(({ fields }) => equalBytes(fields.subject, key))
  }

  async #ask(epoch: Uint8Array, signal: AbortSignal): Promise<void> {
    const { chance, ask, receive, clock } = this.#options
    const able = this.#able(epoch)
    const peer = able[Math.floor(chance.fraction() * able.length)]
    if (peer === undefined) return
    this.#askedAtMs.set(toHex(epoch), clock.monotonic())
    try {
      const verdict = await receive(await ask(peer, epoch, signal), peer)
      this.#log('asked %s for the key of epoch %s: %s', peer, shortHex(epoch), verdict)
    } catch (error) {
      signal.throwIfAborted()
      this.#log('could not get the key of epoch %s from %s: %s', shortHex(epoch), peer, reasonOf(error))
    }
  }

  /** The admitted members whose handover of this epoch would count. */
  #able(epoch: Uint8Array): PeerId[] {
    const { self, roster, admitted } = this.#options
    const isFirst = equalBytes(epoch, self.network)
    const isAble = ({ role, key }: Member): boolean =>
      role !== 'storage' && (!isFirst || role === 'admin' || this.#isIssuer(key))
    return admitted().filter(peer => {
      const member = roster.member(peer)
      return member !== undefined && isAble(member)
    })
  }
}
