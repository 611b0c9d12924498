import { randomUUID } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { asDiskError, LockedError } from './errors.ts'

const NAME = 'lock'
const ATTEMPTS_MAX = 5
const STARTING_MS = 200

/**
 * One process a data directory. The lock is a file that names its holder by process id and by the moment that process
 * began, so that neither a crash nor a process id used again leaves a directory locked, and so that the message can say
 * whom to stop. Node has no flock: where process ids say nothing (two containers on one volume), the kernel's lock that
 * LevelDB takes on the index decides.
 */
export async function lockDirectory(root: string): Promise<() => Promise<void>> {
  const path = join(root, NAME)
  const self = `${process.pid} ${await startOf(process.pid)} ${randomUUID()}`
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    try {
      const handle = await open(path, 'wx', 0o600)
      await handle.writeFile(self)
      await handle.close()
      return async () => {
        if ((await readHolder(path)) === self) await rm(path, { force: true })
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw asDiskError(error)
    }
    const holder = await readHolder(path)
    if (holder === '') {
      // Made a moment ago by a process that has not yet written its name, or by one that died just there.
      await delay(STARTING_MS)
      if ((await readHolder(path)) !== '') continue
    }
    if (holder !== undefined && (await isAlive(holder))) {
      throw new LockedError(
        `process ${holder.split(' ')[0]} is using this data directory: stop it, or give another --data-dir`
      )
    }
    // Moving it aside before removing it: of two who find it stale only one can.
    const aside = `${path}.${randomUUID()}`
    await rename(path, aside).catch(() => {})
    await rm(aside, { force: true })
  }
  throw new LockedError('another process is starting on this data directory')
}

async function readHolder(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    return undefined
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

// On Linux the 22nd field of /proc/PID/stat is when the process began; elsewhere a process id has to do.
async function startOf(pid: number): Promise<string> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '-'
  } catch {
    return '-'
  }
}
