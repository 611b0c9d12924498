import type { BlockCid } from '../../format/cid.ts'
import { blockKey } from '../../format/cid.ts'
import type { PeerId } from '../../format/peer-id.ts'
import { raceSignal, waitUpTo } from '../../util/deadline.ts'
import { reasonOf } from '../../util/logger.ts'
import { Bitmap } from '../bitmap.ts'
import { ACK_TIMEOUT_MS, CONFIRM_CHUNK_MS, NEWCOMERS_MS } from '../constants.ts'
import type { Bits } from './bits.ts'
import { ChainTimer } from './chain-timer.ts'
import type { LogValue } from './logs.ts'
import { MemberNews } from './member-news.ts'
import { PutMachine } from './put-machine.ts'
import type { Placing, PushPorts, PutDriverDeps, Wanted } from './put-ports.ts'
import { type KeepAnswer, newPutState, type PushAnswer, type PutAsk, type PutEvent, type PutRule } from './put-state.ts'
import type { Wait } from './silence.ts'
import { PutStory } from './story.ts'
import { isAnyWaitedFor } from './yes.ts'

/**
 * Runs the state machine of one put: tells it what happens, and does what it asks. It notices members that come, go, fall
 * silent or misbehave, and it keeps the time.
 */
export class PutDriver {
  readonly machine: PutMachine
  /** The members that were asked to keep a block. */
  readonly asked = new Set<PeerId>()
  readonly #news: MemberNews
  readonly #deps: PutDriverDeps
  readonly #putNumber: Uint8Array | null
  readonly #story: PutStory | null
  readonly #chainTimer: ChainTimer
  readonly #wanted = new Map<
    string,
    { wanted: Wanted; enough: PromiseWithResolvers<void>; keptBy: readonly PeerId[] }
  >()
  readonly #link = Promise.withResolvers<void>()
  readonly #answer = Promise.withResolvers<boolean>()
  /** The members to which the record has gone together with its block. */
  readonly #addedTo: PeerId[] = []
  #root: BlockCid | undefined
  #ports: PushPorts | undefined
  #onQuiet: (() => void) | undefined
  #stopListening: (() => void) | undefined
  #isEnded = false

  /** `putNumber` identifies the put to the keepers; null for a record without blocks. */
  constructor(deps: PutDriverDeps, rule: PutRule, putNumber: Uint8Array | null) {
    this.#deps = deps
    this.#putNumber = putNumber
    this.#story = putNumber === null ? null : new PutStory(deps.logs, putNumber)
    this.machine = new PutMachine(newPutState(rule), deps.ranking())
    this.#news = new MemberNews(deps, this.machine)
    const hasHeld = (): boolean => !this.#isEnded && this.machine.state.heldCount > 0
    const onTime = (): void => {
      this.#look()
      this.#feed({ type: 'wait' })
    }
    this.#chainTimer = new ChainTimer({ clock: deps.clock, uplink: deps.uplink, hasHeld, onTime })
  }

  /** Asks members to keep a block. Does not wait for their answers. */
  place(wanted: Wanted): Placing {
    this.#look()
    const { cid, chunkIndex: chunk, inline } = wanted
    const key = blockKey(cid)
    const known = this.#wanted.get(key)
    const entry = known ?? { wanted, enough: Promise.withResolvers<void>(), keptBy: [] }
    this.#wanted.set(key, entry)
    this.#feed({ type: 'block', key, digest: cid.multihash.digest, chunk, isPulled: inline === null })
    return { enough: entry.enough.promise, keptBy: () => entry.keptBy }
  }

  /**
   * Asks members to keep the only block of a file, and to acknowledge its record with it. The caller pushes the record
   * next, which does nothing more for the members that do.
   */
  add(wanted: Wanted): void {
    this.place(wanted)
    this.#root = wanted.cid
    this.#feed({ type: 'root', hasNodes: false })
  }

  /** Notes that a block that was placed before occurs in the file again. `sameAs` is the number of an earlier chunk. */
  repeat({ cid, chunkIndex: chunk, sameAs }: { cid: BlockCid; chunkIndex: number; sameAs: number }): void {
    this.#feed({ type: 'block', key: blockKey(cid), digest: cid.multihash.digest, chunk, sameAs, isPulled: false })
  }

  /** Asks the members to confirm the root, and resolves once enough of them have, or nobody is left to ask. */
  async confirm(root: BlockCid, hasNodes: boolean, signal: AbortSignal | undefined): Promise<void> {
    this.#root = root
    this.#look()
    this.#feed({ type: 'root', hasNodes })
    await raceSignal(this.#link.promise, signal)
  }

  /**
   * Pushes the record until the machine says yes or no, and returns which. `onPushed` is called at once, with the
   * members to which the record is being pushed.
   */
  async push(
    ports: PushPorts,
    { signal, onPushed }: { signal?: AbortSignal | undefined; onPushed: (peers: PeerId[]) => void }
  ): Promise<boolean> {
    const { clock } = this.#deps
    this.#ports = ports
    this.#look()
    // Push before anything else, even if the caller has gone: the record is already durable here, so others must get it
    // too.
    const asks = this.#feed({ type: 'record' })
    onPushed([...this.#addedTo, ...asks.flatMap(ask => (ask.ask === 'push' ? [ask.peer] : []))])
    const lateAtMs = clock.monotonic() + ACK_TIMEOUT_MS
    let cancel = (): void => {}
    const wait = (): void => {
      cancel = clock.after(NEWCOMERS_MS, () => {
        this.#look()
        this.#feed(clock.monotonic() < lateAtMs ? { type: 'tick' } : { type: 'late' })
        wait()
      })
    }
    wait()
    try {
      return await raceSignal(this.#answer.promise, signal)
    } finally {
      cancel()
    }
  }

  /** Resolves when the put no longer waits for any member, or after some time. */
  async untilQuiet(ms: number, signal: AbortSignal | undefined): Promise<void> {
    if (!isAnyWaitedFor(this.machine.state)) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onQuiet = resolve
    try {
      await waitUpTo(this.#deps.clock, ms, promise, signal)
    } finally {
      this.#onQuiet = undefined
    }
  }

  /** Sends no more requests. Answers that are under way change nothing. */
  end(): void {
    this.#isEnded = true
    this.#chainTimer.end()
    this.#stopListening?.()
  }

  /** Tells the machine which members are there now, and which of them are silent or avoided. */
  #look(): void {
    if (this.#isEnded) return
    this.#stopListening ??= this.#deps.silence.listen(() => this.#look())
    this.#news.tell(event => {
      if (event.type === 'silent') this.#story?.silent(event.peer, event.is)
      this.#feed(event)
    })
  }

  #feed(event: PutEvent): PutAsk[] {
    if (this.#isEnded) return []
    const asks = this.machine.handle(event)
    if (asks.length > 0) this.#story?.asks(asks)
    for (const ask of asks) this.#carryOut(ask)
    this.#chainTimer.look()
    if (this.#onQuiet !== undefined && !isAnyWaitedFor(this.machine.state)) this.#onQuiet()
    return asks
  }

  #carryOut(ask: PutAsk): void {
    switch (ask.ask) {
      case 'keep':
        void this.#keep(ask)
        return
      case 'placed': {
        const entry = this.#wanted.get(ask.key)
        if (entry !== undefined) entry.keptBy = ask.keptBy
        entry?.enough.resolve()
        return
      }
      case 'drop':
        this.#wanted.delete(ask.key)
        return
      case 'confirm':
        void this.#confirm(ask.peer, ask.chunks)
        return
      case 'link':
        this.#link.resolve()
        return
      case 'push':
        void this.#push(ask.peer)
        return
      case 'check-own':
        void this.#checkOwn()
        return
      case 'restore-own':
        void this.#restoreOwn()
        return
      case 'answer':
        this.#answer.resolve(ask.isYes)
    }
  }

  async #keep({ peer, key, from }: Extract<PutAsk, { ask: 'keep' }>): Promise<void> {
    const { cid, inline, sizeBytes, record } = (this.#wanted.get(key) as { wanted: Wanted }).wanted
    const put = this.#putNumber as Uint8Array
    this.asked.add(peer)
    if (record !== undefined) this.#addedTo.push(peer)
    let answer: KeepAnswer = 'failed'
    try {
      const ask = (): Promise<KeepAnswer> =>
        this.#deps.storeClient.keepBlock(peer, { put, cid, bytes: inline, sizeBytes, from, record: record?.bytes })
      // What it pulls from another member is not counted where we send.
      const sentBytes = from === undefined ? inline?.byteLength : sizeBytes
      answer = await this.#waitFor(peer, ask, { sentBytes })
      if (record !== undefined && answer === 'added') this.#deps.onAdded(peer, record)
      this.#story?.answers(peer, cid, answer)
    } catch (error) {
      this.#noteLost(peer)
      this.#story?.answers(peer, cid, answer, error)
    }
    this.#feed({ type: 'answer', peer, key, answer })
  }

  async #confirm(peer: PeerId, chunks: Bits): Promise<void> {
    const put = this.#putNumber as Uint8Array
    const root = this.#root as BlockCid
    const bitmap = new Bitmap(chunks)
    let lacking: Bits | null = null
    try {
      const ask = (): Promise<Bitmap> => this.#deps.storeClient.keepRoot(peer, put, root, bitmap)
      const answer = await this.#waitFor(peer, ask, { extraMs: bitmap.size * CONFIRM_CHUNK_MS })
      lacking = answer.bytes
      this.#story?.confirms(peer, root, { chunks: bitmap.size, lacking: answer.and(bitmap).size })
    } catch (error) {
      this.#noteLost(peer)
      this.#story?.confirmsNot(peer, root, error)
    }
    this.#feed({ type: 'confirmed', peer, lacking })
  }

  async #push(peer: PeerId): Promise<void> {
    const { push } = this.#ports as PushPorts
    let answer: PushAnswer = 'failed'
    try {
      const verdict = await this.#waitFor(peer, () => push(peer))
      answer = verdict === 'ok' || verdict === 'lacking' ? verdict : 'refused'
      this.#deps.silence.noteAnswer(peer)
      // The log room reports the push of a record without blocks.
      if (this.#putNumber !== null) this.#log('%s says %s', peer, verdict)
    } catch (error) {
      this.#noteLost(peer)
      this.#log('%s did not answer the push: %s', peer, reasonOf(error))
    }
    this.#feed({ type: 'pushed', peer, answer })
  }

  async #checkOwn(): Promise<void> {
    let isHeld = false
    try {
      isHeld = await (this.#ports as PushPorts).isOwnWhole()
      if (!isHeld) this.#log('this member does not hold all blocks of its own copy')
    } catch (error) {
      // The record is durable already, so this must not look as if the put had failed.
      this.#log('this member could not check its own copy: %s', reasonOf(error))
    }
    this.#feed({ type: 'own', isHeld })
  }

  async #restoreOwn(): Promise<void> {
    try {
      await (this.#ports as PushPorts).restoreOwn()
      this.#log('this member has restored its own copy')
    } catch (error) {
      this.#log('this member could not restore its own copy: %s', reasonOf(error))
    }
    await this.#checkOwn()
  }

  async #waitFor<T>(peer: PeerId, work: () => Promise<T>, wait: Wait = {}): Promise<T> {
    const end = this.#deps.silence.begin(peer, wait)
    try {
      return await work()
    } finally {
      end()
    }
  }

  /** Looks at the members too, because another one may have to be asked now. */
  #noteLost(peer: PeerId): void {
    this.#news.noteLost(peer)
    this.#look()
  }

  #log(text: string, ...args: LogValue[]): void {
    this.#ports?.log(text, ...args)
  }
}
