import type { Machine } from './machines.ts'

/** A system that is measured. Each measurement makes a new one, on new machines and with empty folders. */
export interface Peer {
  /** Starts what runs all the time, and waits until its machines know each other. The first machine is the sender. */
  start(machines: readonly Machine[], folder: string): Promise<void>
  /** Takes a file or folder of the first machine, and resolves once it is complete on each of the others. */
  send(source: string): Promise<void>
  /**
   * Returns where a plain copy of what was sent is, made from what this machine holds by itself. If `restores`, the copy
   * has to be made first, and that is measured too.
   */
  copyOn(index: number, source: string): Promise<string>
  readonly restores: boolean
  /**
   * Reads from a machine that holds nothing of the file: its first byte, or a whole range. Makes the file available
   * first, outside the time that it returns. Not every system can.
   */
  read?(index: number, source: string, range?: Range): Promise<ReadTimes>
  /** Makes the first machine fail for good, so that what the others return is their own. */
  loseSender?(): Promise<void>
  /** Sends a file from the first machine while this one is stopped by SIGSTOP, and resolves when its user would go on. */
  sendPast?(frozen: number, source: string): Promise<void>
  /** The folders that hold what is stored on this machine. */
  storeOf(index: number): string
  /** Seconds of processor time so far, of all processes that run all the time. */
  cpuSeconds(): number
  /** The most memory that each process ever had resident, in bytes, by what the process is. */
  peakRss(): Record<string, number>
  stop(): Promise<void>
}

export interface Range {
  offset: number
  length: number
}

export interface ReadTimes {
  firstByteMs: number
  totalMs: number
  bytes: number
}

/** How a system is found and made. */
export interface PeerKind {
  /** Returns its version, or throws with what to do if it is not installed. */
  version(): Promise<string>
  make(): Peer
}
