import { type DfsNode, type NodeEvent, reasonOf } from '../index.ts'
import { hostIn } from '../terminal/host-in.ts'
import { note, printJson } from '../terminal/print.ts'
import { say } from './choose.ts'
import type { DaemonFlags } from './flags.ts'
import {
  admittedWords,
  approveCommand,
  approveWords,
  countdown,
  pendingWords,
  seekingWords,
  unreachableWords
} from './words.ts'

const REDRAW_MS = 1_000
/** If no member has answered for this long, the screen says so. */
const SILENCE_MS = 10_000

type TurnedAwayEvent = Extract<NodeEvent, { event: 'turned-away' }>
type PendingEvent = Extract<NodeEvent, { event: 'pending' }>

/** The screen of a machine that waits to be let in: its code, and on a terminal how long that code is valid. */
export class PendingScreen {
  readonly #flags: DaemonFlags
  readonly #name: () => string
  #shown: PendingEvent | undefined
  #redraw: NodeJS.Timeout | undefined
  /** True while this machine looks for a member that lets it in. */
  #isSeeking = false
  #hasAnswer = false

  /** `name` returns the name of this machine. */
  constructor(flags: DaemonFlags, name: () => string) {
    this.#flags = flags
    this.#name = name
  }

  /** Must be called with every event since the start. Returns true if this screen has told the owner of the event. */
  onEvent(event: NodeEvent): boolean {
    switch (event.event) {
      case 'seeking':
        this.#isSeeking = true
        say(seekingWords(event.addresses), this.#flags)
        return true
      case 'unreachable':
        if (this.#isSeeking) this.#sayAside(unreachableWords(event))
        return this.#isSeeking
      case 'turned-away':
        this.#sayTurnedAway(event)
        return true
      case 'pending':
        this.#sayPending(event)
        return true
      default:
        return false
    }
  }

  #sayPending(event: PendingEvent): void {
    const isFirst = this.#shown === undefined
    this.#shown = event
    const { code, network, words, role, expires } = event
    if (this.#flags.json) {
      printJson({ event: 'pending', code, network, words, role, command: approveCommand(code, role), expires })
      return
    }
    const lines = isFirst
      ? pendingWords({ name: this.#name(), words, code, role, where: this.#where })
      : ['The code has changed.', ...approveWords(code, role)]
    this.#hide()
    process.stdout.write(`${lines.join('\n')}\n`)
    this.#show()
  }

  /**
   * Waits until the node is ready. Throws the reason if it never will be. Resolves to false if the process must stop
   * first.
   */
  async wait(node: DfsNode, stopping: Promise<void>): Promise<boolean> {
    const silence = setTimeout(() => void this.#saySilence(node), SILENCE_MS)
    try {
      const isReady = await Promise.race([node.ready().then(() => true), stopping.then(() => false)])
      this.#hide()
      if (isReady && this.#shown !== undefined && !this.#flags.json) await this.#sayAdmitted(node)
      this.#isSeeking = false
      return isReady
    } finally {
      clearTimeout(silence)
      this.#hide()
    }
  }

  async #sayAdmitted(node: DfsNode): Promise<void> {
    const own = (await node.members()).find(({ self }) => self)
    process.stdout.write(`${admittedWords(own?.admittedBy?.name ?? null, node.role)}\n\n`)
  }

  #sayTurnedAway({ peerId, address, reason, message }: TurnedAwayEvent): void {
    if (this.#flags.json) printJson({ event: 'turned-away', peerId, address, reason, message })
    this.#sayAside(message)
  }

  /** Prints a line above the one that counts down. */
  #sayAside(message: string): void {
    this.#hasAnswer = true
    if (this.#flags.json) return
    this.#hide()
    note(message)
    if (this.#shown !== undefined) this.#show()
  }

  async #saySilence(node: DfsNode): Promise<void> {
    // A member that waits for the key of the network is in already, and a node that has stopped waits for nothing.
    const state = await node.status().then(({ state }) => state, reasonOf)
    if (this.#shown === undefined && !this.#hasAnswer && state === 'pending')
      note(`no member that can let this machine in answers ${this.#where} yet: trying again until one does`)
  }

  get #where(): string {
    const { bootstrap = [], join } = this.#flags
    const [address] = bootstrap
    if (address === undefined) return join === undefined ? 'nearby' : 'at the addresses of the invite'
    return bootstrap.length === 1 ? `at ${hostIn(address) ?? address}` : 'at one of these addresses'
  }

  #show(): void {
    if (process.stdout.isTTY !== true) return
    const draw = (): void => {
      const { code, expires } = this.#shown as PendingEvent
      process.stdout.write(`\r\x1b[K${countdown(code, expires.getTime() - Date.now())}`)
    }
    draw()
    this.#redraw = setInterval(draw, REDRAW_MS)
  }

  #hide(): void {
    if (this.#redraw === undefined) return
    clearInterval(this.#redraw)
    this.#redraw = undefined
    process.stdout.write('\r\x1b[K')
  }
}
