import { Client, type Where } from './client.ts'

/** The objects that every command needs. */
export interface Session {
  client: Client
  isJson: boolean
  /** Fires on Ctrl-C. */
  signal: AbortSignal
}

export async function openSession(where: Where, isJson: boolean, signal: AbortSignal): Promise<Session> {
  return { client: await Client.open(where, signal), isJson, signal }
}
