import { createHash, randomBytes } from 'node:crypto'
import { hostname } from 'node:os'

/** The names of files that are being fetched: the machine that does it, its process, and a random part. */
export const TEMPORARY_NAME = /^\.dfs-get-([0-9a-f]{8})-(\d{1,10})-[0-9a-f]{8}$/

/** Returns the name of a file that is being fetched: hidden, unique, and short enough for every file system. */
export function temporaryName(): string {
  return `.dfs-get-${thisMachine()}-${process.pid}-${randomBytes(4).toString('hex')}`
}

/** Returns true for the name of a file that a get was fetching, or is fetching now. */
export function isTemporaryName(name: string): boolean {
  return TEMPORARY_NAME.test(name)
}

/** Returns true if a get on this machine has left a file of this name behind: its process is gone. */
export function isLeftover(name: string): boolean {
  const [, machine, pid] = TEMPORARY_NAME.exec(name) ?? []
  // Another machine may be writing into the same folder over a network, and its processes are not known here.
  return machine === thisMachine() && !isRunning(Number(pid))
}

function thisMachine(): string {
  return createHash('sha256').update(hostname()).digest('hex').slice(0, 8)
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
