import { pipeline } from 'node:stream/promises'
import { exitOf, report } from './exit.ts'

/**
 * Says how a program ends when it cannot print: a reader that closes early, as `head` does, is no failure; a full disk
 * is one. Without this Node ends the process with a stack trace.
 */
export function watchStdout(isJson: boolean): void {
  process.stdout.on('error', error => {
    if (isClosedPipe(error)) return
    report(error, isJson)
    process.exit(exitOf(error))
  })
}

/** Bytes to stdout, as fast as whoever reads them takes them. */
export async function writeOut(body: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    await pipeline(body, process.stdout, { end: false })
  } catch (error) {
    if (!isClosedPipe(error)) throw error
  }
}

function isClosedPipe(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EPIPE'
}
