import { note } from '../terminal/print.ts'
import type { Session } from './session.ts'

/** Tells a person, before a command takes a directory as a whole, that the node may not know yet of everything in it. */
export async function noteIncomplete({ client, isJson }: Pick<Session, 'client' | 'isJson'>): Promise<void> {
  if (isJson) return
  const { catchingUpWith } = await client.call('status', {})
  if (catchingUpWith.length > 0)
    note(`changes are still arriving (${catchingUpWith.join(', ')}): not everything may be here yet`)
}
