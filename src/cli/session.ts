import { Client, type Where } from './client.ts'
import { escapeForTerminal } from './escape.ts'
import { hideProgress } from './progress.ts'

/** What every command is given: the daemon, how to speak, and when to stop. */
export interface Session {
  client: Client
  isJson: boolean
  /** Fires on Ctrl-C. */
  signal: AbortSignal
}

export async function openSession(where: Where, isJson: boolean, signal: AbortSignal): Promise<Session> {
  return { client: await Client.open(where, signal), isJson, signal }
}

/** Data for a script: one object a line. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value))
}

/** A line for a person. */
export function printLine(text: string): void {
  print(process.stdout.isTTY === true ? escapeForTerminal(text) : text)
}

/** A remark beside the data. */
export function note(text: string): void {
  hideProgress()
  process.stderr.write(`${escapeForTerminal(text)}\n`)
}

/** False once whoever read what we print has gone, as `head` does. */
export function isHeard(): boolean {
  return !process.stdout.destroyed
}

function print(line: string): void {
  hideProgress()
  if (isHeard()) process.stdout.write(`${line}\n`)
}
