import { hash } from 'node:crypto'
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
/** What a file system without links answers. */
const NO_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EMLINK'])
/** Of the digest of a dead holder's name, in the name of the claim on its place. */
const CLAIM_CHARACTERS = 16

export interface LockOptions {
  clock?: Clock
  chance?: Chance
}

/**
 * One process a data directory; a `LockedError` that says whom to stop if another has it. The lock is a file that names
 * its holder by process id and by the moment that process began, so that neither a crash nor a process id used again
 * leaves a directory locked. The function returned gives it back.
 *
 * Node has no flock. Where process ids say nothing (two containers on one volume) the kernel's lock that LevelDB takes on
 * the index has the last word.
 */
export async function lockDirectory(root: string, options: LockOptions = {}): Promise<() => Promise<void>> {
  const { clock = systemClock, chance = systemChance } = options
  const path = join(root, NAME)
  const self = `${process.pid} ${await startOf(process.pid)} ${toHex(chance.bytes(TOKEN_BYTES))}`
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const holder = await readNamed(path, clock)
    if (holder !== undefined && (await isAlive(holder))) {
      throw new LockedError(
        `process ${holder.split(' ')[0]} is using this data directory: stop it, or give another --data-dir`
      )
    }
    if (holder === undefined ? await create(path, self) : await takeOver(path, holder, self, clock)) {
      return async () => {
        if ((await readHolder(path)) === self) await rm(path, { force: true })
      }
    }
  }
  throw new LockedError('another process is starting on this data directory')
}

/**
 * Puts this holder's name in the place of one that is dead; false if another was quicker. Several may find the same dead
 * name: who makes the file that is called by it, and finds it still in its place, is the only one who may change that. A
 * claim whose maker died is taken over like the lock itself.
 */
async function takeOver(path: string, dead: string, self: string, clock: Clock): Promise<boolean> {
  const claim = `${path}.${hash('sha256', dead).slice(0, CLAIM_CHARACTERS)}`
  if (!(await create(claim, self))) {
    const other = await readNamed(claim, clock)
    if (other === undefined || (await isAlive(other))) return false
    if (!(await takeOver(claim, other, self, clock))) return false
  }
  if ((await readHolder(path)) === dead) {
    // The claim becomes the lock: at no moment is there neither.
    await rename(claim, path).catch(error => {
      throw asDiskError(error)
    })
    return true
  }
  await rm(claim, { force: true })
  return false
}

/** Makes a file in this holder's name; false if there is one. Where the file system has links it is never seen empty. */
async function create(path: string, self: string): Promise<boolean> {
  const named = `${path}.${self.split(' ')[2]}`
  try {
    await write(named, self)
    try {
      await link(named, path)
    } catch (error) {
      if (!NO_LINKS.has((error as NodeJS.ErrnoException).code ?? '')) throw error
      await write(path, self)
    } finally {
      await rm(named, { force: true })
    }
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw asDiskError(error)
  }
}

async function write(path: string, text: string): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    await handle.writeFile(text)
  } finally {
    await handle.close()
  }
}

/** The holder's name; waits a little for one that is not written yet. Whoever died just there has none for good. */
async function readNamed(path: string, clock: Clock): Promise<string | undefined> {
  const holder = await readHolder(path)
  if (holder !== '') return holder
  await clock.sleep(STARTING_MS)
  return readHolder(path)
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
