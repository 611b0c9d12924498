import { note } from '../terminal/print.ts'
import type { Call } from './session.ts'

/**
 * Does the work of a command. If the user interrupts it, says what has become of what it was about, because silence would
 * leave that open.
 */
export async function orInterrupted<T>(
  { signal, isJson }: Pick<Call, 'signal' | 'isJson'>,
  whatIsDone: () => string,
  work: () => Promise<T>
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (signal.aborted && !isJson) note(`interrupted: ${whatIsDone()}`)
    throw error
  }
}
