import { Client, type Where } from './client.ts'

/** How a command was called. */
export interface Call {
  where: Where
  isJson: boolean
  /** Fires on Ctrl-C. */
  signal: AbortSignal
}

/** What a command that talks to the node gets. */
export interface Session extends Call {
  client: Client
}

export async function openSession(call: Call): Promise<Session> {
  return { ...call, client: await Client.open(call.where, call.signal) }
}
