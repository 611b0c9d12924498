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

/**
 * Asks a question whose answer may have several lines, as a paste has. `more` returns the question for the next line, or
 * undefined if all has been typed. An empty line after the first words, and the end of the input, end the answer too.
 * Otherwise it is like `ask`.
 */
export async function askLines(
  question: string,
  more: (text: string) => string | undefined,
  { signal }: { signal?: AbortSignal | undefined } = {}
): Promise<string> {
  signal?.throwIfAborted()
  const lines = createInterface({ input: process.stdin, output: process.stdout, ...(signal && { signal }) })
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'))
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  lines.once('close', resolve)
  let text = ''
  let next: string | undefined = question
  // The lines of a paste come at once, so each is taken when it comes, and not when it is asked for.
  lines.on('line', line => {
    if (next === undefined) return
    const isEnd = line.trim() === '' && text !== ''
    if (line.trim() !== '') text += `${line}\n`
    next = isEnd ? undefined : more(text)
    if (next === undefined) lines.close()
    else show(next)
  })
  const show = (prompt: string): void => {
    lines.setPrompt(prompt)
    lines.prompt()
  }
  show(question)
  await ended
  signal?.throwIfAborted()
  return text
}
