import { Client, type Where } from './client.ts'
import { escapeForTerminal } from './escape.ts'

/** What every command is given: the daemon, how to speak, and when to stop. */
export interface Session {
  client: Client
  isJson: boolean
  /** Fires on Ctrl-C. */
  signal: AbortSignal
}

export async function openSession(where: Where, isJson: boolean, signal: AbortSignal): Promise<Session> {
  return { client: await Client.open(where), isJson, signal }
}

/** Data for a script: one object a line. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

/** A line for a person. */
export function printLine(text: string): void {
  process.stdout.write(`${process.stdout.isTTY === true ? escapeForTerminal(text) : text}\n`)
}

/** A remark beside the data. */
export function note(text: string): void {
  process.stderr.write(`${escapeForTerminal(text)}\n`)
}
