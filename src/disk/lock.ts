import { link, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { toHex } from '../util/bytes.ts'
import { type Chance, systemChance } from '../util/chance.ts'
import { type Clock, systemClock } from '../util/clock.ts'
import { asDiskError, LockedError } from './errors.ts'

const NAME = 'lock'
const ATTEMPTS_MAX = 5
/** How long a lock may stay without its holder's name. */
const STARTING_MS = 200
const TOKEN_BYTES = 16

export interface LockOptions {
  clock?: Clock
  chance?: Chance
}

/**
 * One process a data directory; a `LockedError` that says whom to stop if another has it. The lock is a file that names
 * its holder by process id and by the moment that process began, so that neither a crash nor a process id used again
 * leaves a directory locked. The function returned gives it back.
 *
 * Node has no flock. Where process ids say nothing (two containers on one volume), and where three processes meet at one
 * stale lock, the kernel's lock that LevelDB takes on the index has the last word.
 */
export async function lockDirectory(root: string, options: LockOptions = {}): Promise<() => Promise<void>> {
  const { clock = systemClock, chance = systemChance } = options
  const path = join(root, NAME)
  const token = (): string => toHex(chance.bytes(TOKEN_BYTES))
  const self = `${process.pid} ${await startOf(process.pid)} ${token()}`
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    if (await create(path, self)) {
      return async () => {
        if ((await readHolder(path)) === self) await rm(path, { force: true })
      }
    }
    const holder = await readHolder(path)
    if (holder === undefined) continue
    if (holder === '') {
      // Made a moment ago by a process that has not yet written its name, or by one that died just there.
      await clock.sleep(STARTING_MS)
      if ((await readHolder(path)) !== '') continue
    }
    if (await isAlive(holder)) {
      throw new LockedError(
        `process ${holder.split(' ')[0]} is using this data directory: stop it, or give another --data-dir`
      )
    }
    await removeStale(path, holder, `${path}.${token()}`)
  }
  throw new LockedError('another process is starting on this data directory')
}

/** Makes the lock in this holder's name; false if there is one. */
async function create(path: string, self: string): Promise<boolean> {
  try {
    const handle = await open(path, 'wx', 0o600)
    try {
      await handle.writeFile(self)
    } finally {
      await handle.close()
    }
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw asDiskError(error)
  }
}

// Two may have found the same stale lock: the slower of them moves the other's new one aside, and must put it back.
async function removeStale(path: string, holder: string, aside: string): Promise<void> {
  await rename(path, aside).catch(() => {})
  if ((await readHolder(aside)) !== holder) await link(aside, path).catch(() => {})
  await rm(aside, { force: true })
}

async function readHolder(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw asDiskError(error)
  }
}

async function isAlive(holder: string): Promise<boolean> {
  const [pidText, start] = holder.split(' ')
  const pid = Number(pidText)
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return (await startOf(pid)) === start
}

// On Linux the 3rd and the 22nd field of /proc/PID/stat: how the process is, and when it began. One that has ended and that
// nobody has buried yet holds nothing. Elsewhere a process id has to do.
async function startOf(pid: number): Promise<string> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? 'ended' : (fields[19] ?? '-')
  } catch {
    return '-'
  }
}
