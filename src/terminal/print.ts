import { escapeForTerminal } from './escape.ts'
import { hideProgress } from './progress.ts'

/** Prints data for a script, one JSON value per line. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value))
}

/** Prints a line for a person. */
export function printLine(text: string): void {
  print(process.stdout.isTTY === true ? escapeForTerminal(text) : text)
}

/** Writes a remark to stderr, so that it does not mix with the data. */
export function note(text: string): void {
  hideProgress()
  process.stderr.write(`${escapeForTerminal(text)}\n`)
}

/** Resolves when the reader of our output can take more, or has closed the pipe. Await it while printing much. */
export async function stdoutDrained(): Promise<void> {
  const { stdout } = process
  if (!stdout.writableNeedDrain || stdout.destroyed) return
  const { promise, resolve } = Promise.withResolvers<void>()
  // Not `once` of node:events, which rejects at an error. `watchOutput` decides what an error of stdout means.
  stdout.once('drain', resolve).once('close', resolve)
  await promise
  stdout.off('drain', resolve).off('close', resolve)
}

/** Returns false once the reader of our output has closed the pipe, as `head` does. */
export function isStdoutOpen(): boolean {
  return !process.stdout.destroyed
}

function print(line: string): void {
  hideProgress()
  if (isStdoutOpen()) process.stdout.write(`${line}\n`)
}
