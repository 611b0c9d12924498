import { pipeline } from 'node:stream/promises'
import { exitOf, report } from './exit.ts'

/**
 * Decides how a program goes on when it cannot print. If the reader of stdout closes the pipe early, as `head` does, that
 * is not a failure, but a full disk is. If stderr cannot be written, nobody can be told of it, and the program goes on.
 * Without this, Node would end the process with a stack trace.
 */
export function watchOutput(isJson: boolean): void {
  process.stderr.on('error', () => {})
  process.stdout.on('error', error => {
    if (isClosedPipe(error)) return
    report(error, isJson)
    process.exit(exitOf(error))
  })
}

/** Writes bytes to stdout as fast as its reader takes them. */
export async function writeOut(body: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    await pipeline(body, process.stdout, { end: false })
  } catch (error) {
    if (!isClosedPipe(error)) throw error
  }
}

function isClosedPipe(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  // A terminal that was closed fails with EIO.
  return code === 'EPIPE' || (code === 'EIO' && process.stdout.isTTY === true)
}
