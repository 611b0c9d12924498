import { Client, type Where } from './client.ts'

/** What every command works with. */
export interface Session {
  client: Client
  isJson: boolean
  /** Fires on Ctrl-C. */
  signal: AbortSignal
}

export async function openSession(where: Where, isJson: boolean, signal: AbortSignal): Promise<Session> {
  return { client: await Client.open(where, signal), isJson, signal }
}
