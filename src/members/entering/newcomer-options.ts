import type { KeyObject } from 'node:crypto'
import type { PeerId } from '../../format/peer-id.ts'
import type { Chance } from '../../util/chance.ts'
import type { Clock } from '../../util/clock.ts'
import type { ComponentLogger } from '../../util/logger.ts'
import type { Host } from '../../wire/host.ts'
import type { Unreachable } from '../../wire/redial.ts'
import type { AskedRole } from '../join-messages.ts'
import type { EntryClient, Places } from '../joining/entry-client.ts'
import type { EndReason } from './newcomer-machine.ts'

/** Addresses of one peer at which a newcomer asks. `peer` is undefined if the owner did not say who answers there. */
export interface Target {
  addresses: readonly string[]
  peer: PeerId | undefined
  /** True if the owner or the invite names the peer. A peer that only announced itself is not vouched for. */
  isVouched: boolean
}

/** An invite that was read and verified. */
export interface CheckedInvite {
  /** The id of its statement. */
  id: Uint8Array
  /** Its private key. */
  key: KeyObject
  notAfterMs: number
  /** The statements that it rests on, and the invite itself last. */
  statements: readonly Uint8Array[]
}

/** A code that the owner reads on this machine and types on another one. */
export interface ShownCode {
  code: string
  network: Uint8Array
  /** The end of the code, in ms since the Unix epoch. */
  untilMs: number
}

/** An answer that does not let this machine in, and does not end its attempt. */
export interface TurnedAway {
  peer: PeerId
  /** As multiaddr text. */
  address: string
  reason: EndReason | 'busy'
  /**
   * How many machines wait there, and how long until a place is free. Undefined unless it refuses for want of a place.
   */
  places: Places | undefined
}

/** The peer that a newcomer deals with, and the nonces of their exchange. */
export interface Here {
  peer: PeerId
  theirNonce?: Uint8Array | undefined
  nonce?: Uint8Array | undefined
}

export interface NewcomerOptions {
  host: Host
  client: Pick<EntryClient, 'hello' | 'ask' | 'wait' | 'withdraw' | 'enter'>
  clock: Clock
  chance: Chance
  logger: ComponentLogger
  /** The keys of this device: its private Ed25519 key, and its two public keys. */
  device: { key: KeyObject; publicKey: Uint8Array; x25519: Uint8Array }
  name: string
  role: AskedRole
  /** Where to ask, in this order. */
  targets: readonly Target[]
  /** How many of them the owner named, or the invite if the owner named none. They come first. */
  named: number
  /** The network to join, if the invite or the owner has named it. */
  network: Uint8Array | undefined
  invite: CheckedInvite | undefined
  /** Asks the owner whether the network at a target without a peer id is the right one. Without it, nobody is asked. */
  choose: ((network: Uint8Array, target: Target, signal: AbortSignal) => Promise<boolean>) | undefined
  /** Returns true if these statements make this device a member of this network. */
  verify: (statements: readonly Uint8Array[], network: Uint8Array) => Promise<boolean>
  /** Returns true if these statements show that this peer is a member of this network that lets machines in. */
  admits: (statements: readonly Uint8Array[], network: Uint8Array, peer: PeerId) => Promise<boolean>
  onCode: (shown: ShownCode) => void
  /** Called once for each different answer that does not let this machine in, while it goes on trying. */
  onTurnedAway: (answer: TurnedAway) => void
  /** Called when nobody can be reached at an address that the owner or the invite named. Once for each reason. */
  onUnreachable: (unreachable: Unreachable) => void
  /** Called once, if nobody has answered for `SILENCE_MS`. */
  onSilence: () => void
}

/** What made this device a member. */
export interface Entrance {
  network: Uint8Array
  /** The statements that its grant rests on, and its grant last. */
  statements: readonly Uint8Array[]
  /** The address of the member that answered. */
  address: string | undefined
}
