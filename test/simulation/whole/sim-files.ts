import { AsyncLocalStorage } from 'node:async_hooks'
import { DiskError, FileMissingError } from '../../../src/disk/errors.ts'
import type { AppendFile, FilePiece, Files, ReadFile } from '../../../src/disk/files.ts'
import { type DiskState, stateAfter } from '../../../src/disk/monitored-files.ts'
import { INDEX_FOLDER } from '../../../src/node/platform.ts'
import type { Chance } from '../../../src/util/chance.ts'
import { FakeFiles, type FakeFilesOptions } from '../../fixtures/fake-files.ts'
import { SimRows } from './sim-database.ts'
import type { SimProcess } from './sim-time.ts'

/** A disk of this size is too small for the reserve. Copying its 8 MiB would only cost time. */
export const DISK_BYTES = 31 << 20
/** The share of its operations that a disk delays, and by how much. The others end in the same turn of the event loop. */
const DELAYED_SHARE = 0.25
const DELAY_MS_MAX = 6

/** True in all code that runs because the test itself asks a node. */
export const observing = new AsyncLocalStorage<boolean>()

/** What was on a disk at some moment. */
export interface DiskBackup {
  files: FakeFiles
  rows: SimRows
}

/** The disk of a machine, which outlives the processes that use it. */
export class SimDisk {
  rows = new SimRows()
  readonly chance: Chance
  readonly #options: FakeFilesOptions = { totalBytes: DISK_BYTES, othersBytes: 0 }
  files: FakeFiles
  /** Every write fails with an I/O error. */
  isFailing = false
  /** The time at which the disk last began to accept writes again. */
  hinderedAtMs = Number.NEGATIVE_INFINITY
  /** The share of its operations that it delays. */
  delayedShare = DELAYED_SHARE
  /** Is told of each operation, before it happens. */
  onOperation: () => void = () => {}

  constructor(chance: Chance) {
    this.chance = chance
    this.files = new FakeFiles(this.#options)
  }

  /** Fills the disk, as other programs do, up to this many free bytes. */
  fill(freeBytes: number): void {
    this.#options.othersBytes = 0
    this.#options.othersBytes = this.freeBytes - freeBytes
  }

  get isFilled(): boolean {
    return this.#options.othersBytes !== 0
  }

  get isHindered(): boolean {
    return this.isFilled || this.isFailing
  }

  /** Makes the disk accept writes again. */
  mend(nowMs: number): void {
    if (this.isHindered) this.hinderedAtMs = nowMs
    this.#options.othersBytes = 0
    this.isFailing = false
  }

  get freeBytes(): number {
    let usedBytes = 0
    for (const { byteLength } of this.files.contents().values()) usedBytes += byteLength
    return DISK_BYTES - (this.#options.othersBytes as number) - usedBytes
  }

  /** Kills the process: everything that was written survives. */
  killed(): void {
    this.files = this.files.reopen(this.#options)
  }

  /** Returns a copy of everything on this disk, as a backup of a running machine has it. */
  backup(): DiskBackup {
    return { files: this.files.copy(), rows: this.rows.copy() }
  }

  /** Replaces everything on this disk by a backup, while no process uses it. */
  restore({ files, rows }: DiskBackup): void {
    this.files = files.copy().reopen(this.#options)
    this.rows = rows.copy()
  }

  powerCut(): void {
    const kept = this.chance.fraction() < 0.3 ? 0 : this.chance.fraction()
    this.files = this.files.crash({ kept, fraction: () => this.chance.fraction() }, this.#options)
    this.rows.powerCut(this.chance)
  }

  async wait(process: SimProcess): Promise<void> {
    // The test looks at this machine. It does not wait, and changes nothing for those who do.
    if (observing.getStore() === true && !process.isDead) return
    const isDelayed = this.chance.fraction() < this.delayedShare
    await process.pause(isDelayed ? this.chance.fraction() * DELAY_MS_MAX : 0)
    if (process.isDead) return never()
    this.onOperation()
    if (process.isDead) return never()
  }

  /** When the operations of the database wait, and how they fail. */
  async operation(process: SimProcess, name: 'read' | 'batch', bytes: number): Promise<void> {
    await this.wait(process)
    if (name !== 'batch') return
    if (this.isFailing) throw new Error('IO error: the disk reported EIO')
    if (this.isFilled && this.freeBytes < bytes) throw new Error('IO error: No space left on device')
  }
}

/** The disk as one process sees it. Once the process is killed, its calls have no effect and never return. */
export class SimFiles implements Files {
  readonly namesAreDurable = true
  readonly #disk: SimDisk
  readonly #process: SimProcess
  #state: DiskState = 'ok'

  constructor(disk: SimDisk, process: SimProcess) {
    this.#disk = disk
    this.#process = process
  }

  get state(): DiskState {
    return this.#state
  }

  makeDirectory(path: string): Promise<void> {
    return this.#write(() => this.#files.makeDirectory(path))
  }

  async list(path: string): Promise<string[]> {
    await this.#disk.wait(this.#process)
    return this.#files.list(path)
  }

  syncDirectory(path: string): Promise<void> {
    return this.#write(() => this.#files.syncDirectory(path))
  }

  async size(path: string): Promise<number | undefined> {
    await this.#disk.wait(this.#process)
    return this.#files.size(path)
  }

  async read(path: string): Promise<Uint8Array> {
    await this.#disk.wait(this.#process)
    return this.#files.read(path)
  }

  async writeNew(path: string, parts: readonly Uint8Array[]): Promise<void> {
    await this.#write(() => this.#files.writeNew(path, parts))
    this.#state = 'ok'
  }

  overwrite(path: string, pieces: readonly FilePiece[]): Promise<void> {
    return this.#write(() => this.#files.overwrite(path, pieces))
  }

  rename(from: string, to: string): Promise<void> {
    return this.#write(() => this.#files.rename(from, to))
  }

  remove(path: string): Promise<void> {
    return this.#write(() => this.#files.remove(path))
  }

  async removeDirectory(path: string): Promise<void> {
    await this.#write(() => this.#files.removeDirectory(path))
    if (path === INDEX_FOLDER) this.#disk.rows.clear()
  }

  async openRead(path: string): Promise<ReadFile> {
    await this.#disk.wait(this.#process)
    const file = await this.#files.openRead(path)
    return {
      read: async (offset, length) => {
        await this.#disk.wait(this.#process)
        return file.read(offset, length)
      },
      close: () => file.close()
    }
  }

  async openAppend(path: string): Promise<AppendFile> {
    const file = await this.#write(() => this.#files.openAppend(path))
    let hasNewBytes = false
    return {
      get size() {
        return file.size
      },
      append: async parts => {
        await this.#write(() => file.append(parts))
        hasNewBytes = true
      },
      sync: async () => {
        await this.#write(() => file.sync())
        if (hasNewBytes) this.#state = 'ok'
      },
      truncate: size => this.#write(() => file.truncate(size)),
      close: () => file.close()
    }
  }

  async space(): Promise<{ totalBytes: number; freeBytes: number }> {
    await this.#disk.wait(this.#process)
    return this.#files.space()
  }

  get #files(): FakeFiles {
    return this.#disk.files
  }

  async #write<T>(work: () => Promise<T>): Promise<T> {
    await this.#disk.wait(this.#process)
    try {
      if (this.#disk.isFailing) throw new DiskError('the disk reported EIO')
      return await work()
    } catch (error) {
      this.#state = stateAfter(error) ?? this.#state
      throw error
    }
  }
}

/** Flips a bit of a file. Returns false if it is empty or gone. */
export function flipBit(files: FakeFiles, path: string, chance: Chance): boolean {
  try {
    let isFlipped = false
    files.corrupt(path, bytes => {
      if (bytes.byteLength === 0) return undefined
      const at = Math.floor(chance.fraction() * bytes.byteLength)
      bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(chance.fraction() * 8))
      isFlipped = true
      return bytes
    })
    return isFlipped
  } catch (error) {
    if (error instanceof FileMissingError) return false
    throw error
  }
}

function never(): Promise<never> {
  return new Promise(() => {})
}
