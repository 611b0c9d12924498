import { readdir, readFile, readlink } from 'node:fs/promises'
import { basename } from 'node:path'

/**
 * Returns the process that listens on a TCP port, as `name (process 123)`. The system tells us only on Linux, and only
 * for processes of the same user. Otherwise the result is undefined.
 *
 * Errors are not logged here. They only mean that the process is unknown, and the caller reports the taken port in any
 * case.
 */
export async function holderOfPort(port: number): Promise<string | undefined> {
  try {
    const inodes = new Set([
      ...(await listenersOf('/proc/net/tcp', port)),
      ...(await listenersOf('/proc/net/tcp6', port))
    ])
    if (inodes.size === 0) return undefined
    for (const pid of (await readdir('/proc')).filter(name => /^\d+$/.test(name))) {
      if (!(await holdsSocket(pid, inodes))) continue
      return `${(await programOf(pid)).replace(/[^\x20-\x7e]/g, '?')} (process ${pid})`
    }
  } catch {
    // Either this is not Linux, or we are not allowed to inspect this process.
  }
  return undefined
}

/**
 * Returns the name of the program that a process runs. `comm` is the name of its main thread, which is "MainThread" for
 * every program that runs on Node. Only two words of the command line are used, because the others may be secrets.
 */
async function programOf(pid: string): Promise<string> {
  const [program = '', script = ''] = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0')
  if (basename(program) === 'node' && /\.[cm]?[jt]s$/.test(script)) return basename(script).replace(/\.[^.]+$/, '')
  return basename(program) || (await readFile(`/proc/${pid}/comm`, 'utf8')).trim()
}

// Field 1 of /proc/net/tcp is the local address as HEX:PORT, field 3 the state (0A listens), field 9 the inode.
async function listenersOf(table: string, port: number): Promise<string[]> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const text = await readFile(table, 'utf8').catch(() => '')
  return text
    .split('\n')
    .map(line => line.trim().split(/\s+/))
    .filter(fields => fields[1]?.endsWith(suffix) === true && fields[3] === '0A')
    .map(fields => `socket:[${fields[9]}]`)
}

async function holdsSocket(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  try {
    for (const fd of await readdir(`/proc/${pid}/fd`)) {
      if (inodes.has(await readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''))) return true
    }
  } catch {
    // The process belongs to another user.
  }
  return false
}
