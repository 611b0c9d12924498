import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** One a machine, whatever folder a run uses: two measurements at the same time would measure each other. */
const LOCK_FILE = join(tmpdir(), 'dfs-bench.lock')

/** Waits until nothing else is measured on this machine. Disposing it, or the end of this process, frees the lock. */
export async function machineLock(): Promise<Disposable> {
  const holder = spawn('flock', [LOCK_FILE, 'sh', '-c', 'echo held; exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(holder.stdout, 'data')
  return { [Symbol.dispose]: () => holder.stdin.end() }
}
