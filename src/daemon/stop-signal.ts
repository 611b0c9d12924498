import { EXIT } from '../terminal/exit.ts'

/**
 * Resolves at the first signal to stop. Call it before the start, which takes a while, because signals are handled only
 * from this call on. A second signal ends the process immediately.
 *
 * A terminal that is closed stops a daemon on it. A daemon without a terminal, such as one under nohup, ignores SIGHUP.
 * Node resets the signals that its parent ignores, so what nohup has set says nothing.
 */
export function stopSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let signals = 0
  const onSignal = (): void => {
    if (++signals > 1) process.exit(EXIT.interrupted)
    resolve()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  const { stdin, stdout, stderr } = process
  const hasTerminal = [stdin, stdout, stderr].some(({ isTTY }) => isTTY === true)
  // A closing terminal may send the signal several times.
  process.on('SIGHUP', hasTerminal ? () => resolve() : () => {})
  return promise
}
