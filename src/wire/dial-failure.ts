const WORDS: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no such host name',
  EAI_AGAIN: 'the host name could not be looked up',
  ENETUNREACH: 'there is no route to it',
  EHOSTUNREACH: 'there is no route to it',
  EHOSTDOWN: 'there is no route to it',
  ENETDOWN: 'the network is down',
  EAFNOSUPPORT: 'this machine does not have this kind of address',
  EADDRNOTAVAIL: 'this machine does not have this kind of address',
  ENODEV: 'this machine has no such interface',
  ETIMEDOUT: 'timed out',
  DeadlineError: 'timed out',
  TimeoutError: 'timed out',
  EncryptionFailedError: 'what answers there is no dfs-node'
}
const ANOTHER_NODE = 'another node than the one with this peer id answers there, so the address may be an old one'
/** Errors that only their messages tell apart. */
const MESSAGES: Record<string, string> = {
  'Unexpected Peer': ANOTHER_NODE,
  'another peer answers at these addresses': ANOTHER_NODE
}
/** How deep the causes of an error are searched. */
const DEPTH_MAX = 4

/** Returns the reason why a dial failed, for people. The text contains no words of a remote. */
export function dialFailure(error: unknown): string {
  return (
    find(error, DEPTH_MAX, ({ code, name, message }) => MESSAGES[message] ?? WORDS[code ?? ''] ?? WORDS[name]) ??
    'no answer'
  )
}

/** Returns true if a dial failed because it reached this node itself. */
export function isDialToSelf(error: unknown): boolean {
  return find(error, DEPTH_MAX, ({ message }) => message === 'Can not dial self' || undefined) === true
}

/** Returns what `match` returns for the first of an error, its causes, and the errors that it collects. */
function find<T>(error: unknown, depth: number, match: (error: NodeJS.ErrnoException) => T | undefined): T | undefined {
  if (!(error instanceof Error) || depth === 0) return undefined
  const found = match(error)
  if (found !== undefined) return found
  const collected = error instanceof AggregateError ? error.errors : []
  for (const inner of [error.cause, ...collected]) {
    const below = find(inner, depth - 1, match)
    if (below !== undefined) return below
  }
  return undefined
}
