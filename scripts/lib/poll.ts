export interface PollOptions {
  msMax: number
  /** The shortest pause between two checks. */
  pauseMs: number
}

/**
 * Waits until something holds. It checks often, but pauses for at least as long as a check takes, because a check may
 * start a process, and must not keep the computer busy. Throws once `msMax` are over, and the errors of the check.
 */
export async function poll(
  what: string,
  holds: () => boolean | Promise<boolean>,
  { msMax, pauseMs }: PollOptions
): Promise<void> {
  const end = performance.now() + msMax
  for (;;) {
    const startedAt = performance.now()
    if (await holds()) return
    const now = performance.now()
    if (now > end) throw new Error(`timed out: ${what}`)
    await new Promise(resolve => setTimeout(resolve, Math.max(pauseMs, now - startedAt)))
  }
}
