import { note } from '../terminal/print.ts'
import type { Session } from './session.ts'

/**
 * Says so if the node does not know yet of everything that is in a directory, which a command is about to take as a
 * whole.
 */
export async function noteIncomplete({ client }: Pick<Session, 'client'>): Promise<void> {
  const { catchingUpWith } = await client.call('status', {})
  if (catchingUpWith.length > 0)
    note(`changes are still arriving (${catchingUpWith.join(', ')}): this directory may be incomplete`)
}
