/** Runs all closers in order even if some throw, then throws the first error. */
export async function closeAll(closers: ReadonlyArray<() => unknown>): Promise<void> {
  const failures: unknown[] = []
  for (const close of closers) {
    try {
      await close()
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
}
