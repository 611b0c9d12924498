import { hash } from 'node:crypto'
import { link, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { toHex } from '../util/bytes.ts'
import { type Chance, systemChance } from '../util/chance.ts'
import { type Clock, systemClock } from '../util/clock.ts'
import { type ComponentLogger, type Logger, reasonOf } from '../util/logger.ts'
import { asDiskError, LockedError } from './errors.ts'

const NAME = 'lock'
const ATTEMPTS_MAX = 5
/** How long a lock file may stay empty while its holder writes it. */
const WRITING_MS = 200
const TOKEN_BYTES = 16
/** The errors with which a file system refuses a hard link that it does not support. */
const NO_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK'])
/** The number of hex digits of the dead holder's digest in the name of a takeover file. */
const TAKEOVER_CHARACTERS = 16

export interface LockOptions {
  logger: ComponentLogger
  clock?: Clock
  chance?: Chance
}

/** The identity of this process in a lock file. */
interface Self {
  /** 32 random hex digits. */
  token: string
  /** The content of the lock file: process id, start time of the process, token, directory. */
  text: string
  /** What tells the directory from a copy of it, which has a copy of the lock file. */
  directory: string
}

/**
 * Locks a data directory for this process. Returns the function that unlocks it. Throws a `LockedError` that says which
 * process to stop if another process has the directory.
 *
 * The lock is a file that identifies its holder by process id and by the time at which that process started. So neither
 * a crash nor a reused process id leaves a directory locked. Node does not offer flock. Where process ids mean nothing
 * (two containers on one volume), the kernel lock that LevelDB takes on the index decides.
 */
export async function lockDirectory(root: string, options: LockOptions): Promise<() => Promise<void>> {
  const { logger, clock = systemClock, chance = systemChance } = options
  const lock = new LockFiles(clock, logger.forComponent('dfs:disk:lock'))
  const path = join(root, NAME)
  const token = toHex(chance.bytes(TOKEN_BYTES))
  const directory = await directoryId(root)
  const self: Self = {
    token,
    text: `${process.pid} ${await lock.startOf(process.pid)} ${token} ${directory}`,
    directory
  }
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    if (await lock.acquire(path, self)) return () => lock.release(path, self)
  }
  throw new LockedError('another process is starting on this data directory: stop it, or give another --data-dir')
}

/** The files by which processes agree on which of them has a directory. */
class LockFiles {
  readonly #clock: Clock
  readonly #log: Logger

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
  }

  /** Tries once. Returns false if another process changed the lock meanwhile, so that the caller has to try again. */
  async acquire(path: string, self: Self): Promise<boolean> {
    const holder = await this.#readWritten(path)
    if (holder === undefined) {
      const isLocked = await create(path, self)
      if (isLocked) this.#log('locked the data directory')
      return isLocked
    }
    if (await this.#isAlive(holder)) {
      const [pid, , , directory = self.directory] = holder.split(' ')
      if (directory === self.directory)
        throw new LockedError(`process ${pid} is using this data directory: stop it, or give another --data-dir`)
      throw new LockedError(
        `this data directory is a copy, and process ${pid} runs on the original: stop that process to move the node here, or give an empty --data-dir for another node`
      )
    }
    this.#log('taking over the lock of a process that has ended')
    return this.#takeOver(path, holder, self)
  }

  /** Removes the lock if it is still this process's own. */
  async release(path: string, self: Self): Promise<void> {
    if ((await read(path)) === self.text) await rm(path, { force: true })
    this.#log('unlocked the data directory')
  }

  /**
   * Replaces the lock of a dead process with the lock of this process. Returns false if another process was faster.
   * Several processes may find the same dead holder. A process may replace the lock only if it creates the takeover
   * file, which is named after the dead holder, and then still finds the dead holder in the lock. If the process that
   * created a takeover file has died, the takeover file is itself taken over.
   */
  async #takeOver(path: string, dead: string, self: Self): Promise<boolean> {
    const takeover = `${path}.${hash('sha256', dead).slice(0, TAKEOVER_CHARACTERS)}`
    if (!(await create(takeover, self))) {
      const other = await this.#readWritten(takeover)
      if (other === undefined || (await this.#isAlive(other))) return false
      if (!(await this.#takeOver(takeover, other, self))) return false
    }
    if ((await read(path)) === dead) {
      // The takeover file is renamed to the lock, so at least one of the two exists at any time.
      await rename(takeover, path).catch(error => {
        throw asDiskError(error)
      })
      return true
    }
    await rm(takeover, { force: true })
    return false
  }

  /**
   * Reads a lock file, and waits once if it is still empty. If the holder died before it wrote, the file stays empty.
   */
  async #readWritten(path: string): Promise<string | undefined> {
    const holder = await read(path)
    if (holder !== '') return holder
    await this.#clock.sleep(WRITING_MS)
    return read(path)
  }

  async #isAlive(holder: string): Promise<boolean> {
    const [pidText, start] = holder.split(' ')
    const pid = Number(pidText)
    if (!Number.isInteger(pid) || pid <= 0) return false
    try {
      process.kill(pid, 0)
    } catch (error) {
      // EPERM: the process exists, and belongs to another user.
      if ((error as NodeJS.ErrnoException).code !== 'EPERM') {
        this.#log.trace('process %d does not exist: %s', pid, reasonOf(error))
        return false
      }
    }
    return (await this.startOf(pid)) === start
  }

  /**
   * Returns the time at which a process started: on Linux the 22nd field of /proc/PID/stat (proc(5)), elsewhere `-`,
   * because there the process id has to be enough. A process that has ended, but that its parent has not waited for yet
   * (the 3rd field is `Z` or `X`), holds no lock. For such a process the result is `ended`.
   */
  async startOf(pid: number): Promise<string> {
    try {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return fields[0] === 'Z' || fields[0] === 'X' ? 'ended' : (fields[19] ?? '-')
    } catch (error) {
      this.#log.trace('the start of process %d is unknown: %s', pid, reasonOf(error))
      return '-'
    }
  }
}

/**
 * Creates a file that names this process. Returns false if the file exists. On a file system with hard links, no other
 * process ever sees the file empty.
 */
async function create(path: string, self: Self): Promise<boolean> {
  const temp = `${path}.${self.token}`
  try {
    await write(temp, self.text)
    try {
      await link(temp, path)
    } catch (error) {
      if (!NO_LINKS.has((error as NodeJS.ErrnoException).code ?? '')) throw error
      await write(path, self.text)
    } finally {
      await rm(temp, { force: true })
    }
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw asDiskError(error)
  }
}

/** Writes a new file. Leaves nothing behind if the disk is full. */
async function write(path: string, text: string): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    await handle.writeFile(text)
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    await handle.close()
  }
}

/** Returns the text of a lock file, or undefined if there is none. */
async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw asDiskError(error)
  }
}

/** Its device and inode numbers, which stay if it is renamed. */
async function directoryId(root: string): Promise<string> {
  try {
    const { dev, ino } = await stat(root, { bigint: true })
    return `${dev}:${ino}`
  } catch (error) {
    throw asDiskError(error)
  }
}
