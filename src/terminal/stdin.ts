import { usage } from './errors.ts'

/**
 * Reads all of stdin as text. Throws a usage error if it has more bytes, and the reason of the signal. `what` names the
 * content in that error.
 */
export async function readStdin(what: string, bytesMax: number, signal?: AbortSignal): Promise<string> {
  const { stdin } = process
  const end = (): void => void stdin.destroy(signal?.reason)
  signal?.addEventListener('abort', end, { once: true })
  try {
    return await readAll(what, bytesMax)
  } finally {
    signal?.removeEventListener('abort', end)
  }
}

async function readAll(what: string, bytesMax: number): Promise<string> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of process.stdin) {
    bytes += (part as Buffer).byteLength
    if (bytes > bytesMax) throw usage(`stdin holds more than ${what}`)
    parts.push(part as Buffer)
  }
  return Buffer.concat(parts).toString('utf8')
}
