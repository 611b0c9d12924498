import { createInterface } from 'node:readline/promises'

/** True if there is a person who can be asked. */
export function isInteractive(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true
}

/**
 * Asks a question on the terminal, and returns what was typed. The end of the input counts as an empty answer. Throws
 * the reason of the signal. Ctrl-C reaches the process as a signal, as if nobody had been asked.
 */
export async function ask(question: string, { signal }: { signal?: AbortSignal | undefined } = {}): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stdout })
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'))
  const { promise: ended, resolve } = Promise.withResolvers<string>()
  lines.once('close', () => resolve(''))
  try {
    return await Promise.race([lines.question(question, signal === undefined ? {} : { signal }), ended])
  } finally {
    lines.close()
  }
}
