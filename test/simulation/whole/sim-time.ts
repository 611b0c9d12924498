import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import type { Clock } from '../../../src/util/clock.ts'

const START_MS = 1_700_000_000_000
/** The results of signature checks, so that each signature is checked once although every member asks. */
const VERIFIED_MAX = 20_000

/** The parts into which a millisecond is divided. */
const TICKS = 1_024

interface Event {
  atMs: number
  order: number
  run: (() => void) | undefined
}

const realImmediate = globalThis.setImmediate
const realVerify = crypto.verify
const verified = new Map<string, boolean>()

/**
 * The time of one simulated world, and its event loop. Work that is ready runs first. When none is, time jumps to the
 * next event. So nothing depends on the machine that runs the simulation. While a world is installed, `setImmediate`
 * belongs to it, and signatures are checked at once instead of on another thread.
 */
export class SimTime {
  #nowMs = 0
  #sleptMs = 0
  #order = 0
  readonly #heap: Event[] = []
  readonly #immediates: Array<() => void> = []
  #turns = 0

  /** Milliseconds since the world began. */
  get nowMs(): number {
    return this.#nowMs
  }

  /** How far the wall clocks of all machines have gone on while their processes slept. */
  get sleptMs(): number {
    return this.#sleptMs
  }

  /** The time that has passed for people: with the time during which all machines slept. */
  get calendarMs(): number {
    return this.#nowMs + this.#sleptMs
  }

  /** Lets all machines sleep: their wall clocks go on, and nothing else does. */
  sleep(ms: number): void {
    this.#sleptMs += ms
  }

  /** Moves the time on without giving any process a turn. All timers that end in between fire late. */
  leap(ms: number): void {
    this.#nowMs = ticksOf(this.#nowMs + ms)
  }

  /** The number of turns of the event loop so far. */
  get turns(): number {
    return this.#turns
  }

  install(): void {
    globalThis.setImmediate = ((callback: (...args: unknown[]) => void, ...args: unknown[]) => {
      this.#immediates.push(() => callback(...args))
    }) as unknown as typeof setImmediate
    crypto.verify = ((algorithm, data, key, signature, callback) => {
      if (callback === undefined) return realVerify(algorithm, data, key, signature)
      const isValid = verifyOnce(data as Uint8Array, key as crypto.KeyObject, signature as Uint8Array)
      queueMicrotask(() => callback(null, isValid))
      return undefined
    }) as typeof crypto.verify
    syncBuiltinESMExports()
  }

  uninstall(): void {
    globalThis.setImmediate = realImmediate
    crypto.verify = realVerify
    syncBuiltinESMExports()
  }

  at(atMs: number, run: () => void): () => void {
    // Times are multiples of a power of two, so that sums and differences of them are exact, and no wait ends too early.
    const event: Event = { atMs: ticksOf(Math.max(atMs, this.#nowMs)), order: this.#order++, run }
    push(this.#heap, event)
    return () => {
      event.run = undefined
    }
  }

  after(ms: number, run: () => void): () => void {
    return this.at(this.#nowMs + ms, run)
  }

  /** Lets time pass. */
  async pass(ms: number): Promise<void> {
    await this.#runUntil(ticksOf(this.#nowMs + ms), () => false)
  }

  /** Lets time pass until a promise settles. Resolves to false if it has not after this long. */
  async passUntil(work: Promise<unknown>, msMax: number): Promise<boolean> {
    let isSettled = false
    const settled = (): void => {
      isSettled = true
    }
    work.then(settled, settled)
    await this.#runUntil(ticksOf(this.#nowMs + msMax), () => isSettled)
    return isSettled
  }

  /** Runs everything that is ready, for some turns or until a promise settles. No time passes. */
  async turn(work: Promise<unknown>, turnsMax: number): Promise<void> {
    let isSettled = false
    const settled = (): void => {
      isSettled = true
    }
    work.then(settled, settled)
    for (let turns = 0; turns < turnsMax && !isSettled; turns++) {
      await new Promise(resolve => realImmediate(resolve))
      this.#immediates.shift()?.()
    }
  }

  async #runUntil(untilMs: number, isOver: () => boolean): Promise<void> {
    for (;;) {
      await new Promise(resolve => realImmediate(resolve))
      this.#turns++
      if (isOver()) return
      const immediate = this.#immediates.shift()
      if (immediate !== undefined) {
        immediate()
        continue
      }
      const event = this.#heap[0]
      if (event === undefined || event.atMs > untilMs) {
        this.#nowMs = untilMs
        return
      }
      pop(this.#heap)
      if (event.run === undefined) continue
      this.#nowMs = Math.max(this.#nowMs, event.atMs)
      event.run()
    }
  }
}

/**
 * One process on a machine, and its clock. Nothing reaches a frozen process until it goes on. Nothing ever reaches a
 * process that was killed, and nothing that it still does has an effect: each of its calls waits for ever.
 */
export class SimProcess implements Clock {
  readonly #time: SimTime
  readonly #held: Array<() => void> = []
  readonly #deathListeners: Array<() => void> = []
  #state: 'running' | 'frozen' | 'dead' = 'running'
  /** How far its wall clock is off. */
  skewMs = 0

  constructor(time: SimTime) {
    this.#time = time
  }

  get isDead(): boolean {
    return this.#state === 'dead'
  }

  get isFrozen(): boolean {
    return this.#state === 'frozen'
  }

  now(): number {
    return Math.floor(START_MS + this.#time.calendarMs + this.skewMs)
  }

  monotonic(): number {
    return this.#time.nowMs
  }

  after(ms: number, callback: () => void): () => void {
    let isCancelled = false
    const cancel = this.#time.after(Math.max(0, ms), () =>
      this.deliver(() => {
        if (!isCancelled) callback()
      })
    )
    return () => {
      isCancelled = true
      cancel()
    }
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const onAbort = (): void => {
        cancel()
        reject(signal?.reason)
      }
      const cancel = this.after(ms, () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Runs something that comes from outside: a message, a timer, an answer of the disk. */
  deliver(run: () => void): void {
    if (this.#state === 'running') run()
    else if (this.#state === 'frozen') this.#held.push(run)
  }

  /** Resolves after some time, once the process runs. */
  pause(ms: number): Promise<void> {
    if (ms === 0 && this.#state === 'running') return Promise.resolve()
    return new Promise(resolve => this.#time.after(ms, () => this.deliver(resolve)))
  }

  freeze(): void {
    if (this.#state === 'running') this.#state = 'frozen'
  }

  thaw(): void {
    if (this.#state !== 'frozen') return
    this.#state = 'running'
    for (const run of this.#held.splice(0)) this.#time.after(0, () => this.deliver(run))
  }

  kill(): void {
    this.#state = 'dead'
    this.#held.length = 0
    for (const listener of this.#deathListeners.splice(0)) listener()
  }

  onDeath(listener: () => void): void {
    if (this.#state === 'dead') listener()
    else this.#deathListeners.push(listener)
  }
}

function verifyOnce(data: Uint8Array, key: crypto.KeyObject, signature: Uint8Array): boolean {
  const { x } = key.export({ format: 'jwk' })
  const id = `${x} ${Buffer.from(signature).toString('latin1')} ${Buffer.from(data).toString('latin1')}`
  let isValid = verified.get(id)
  if (isValid === undefined) {
    if (verified.size >= VERIFIED_MAX) verified.clear()
    isValid = realVerify(null, data, key, signature)
    verified.set(id, isValid)
  }
  return isValid
}

function ticksOf(ms: number): number {
  return Math.ceil(ms * TICKS) / TICKS
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}

function push(heap: Event[], event: Event): void {
  let i = heap.push(event) - 1
  while (i > 0) {
    const parent = (i - 1) >> 1
    if (!isBefore(event, heap[parent] as Event)) break
    heap[i] = heap[parent] as Event
    i = parent
  }
  heap[i] = event
}

function pop(heap: Event[]): void {
  const last = heap.pop() as Event
  if (heap.length === 0) return
  let i = 0
  for (;;) {
    let child = 2 * i + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++
    if (!isBefore(heap[child] as Event, last)) break
    heap[i] = heap[child] as Event
    i = child
  }
  heap[i] = last
}
