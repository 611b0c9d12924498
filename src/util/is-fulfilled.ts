/** Resolves once a promise has settled, with true if it was fulfilled. Its failure must be reported elsewhere. */
export function isFulfilled(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false
  )
}
