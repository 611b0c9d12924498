/** The number of characters of a peer id that people see: those at its end, since all ids begin alike. */
const PEER_END_CHARACTERS = 8

/** Returns the end of a peer id, which is how JSON log lines name a peer. */
export function peerEnd(peerId: string): string {
  return peerId.slice(-PEER_END_CHARACTERS)
}

/** Returns the end of a peer id for people. It tells two machines of one name apart. */
export function shortId(peerId: string): string {
  return `…${peerEnd(peerId)}`
}

/** Returns a member as people recognize it: its name and the end of its id. */
export function memberText({ name, peerId }: { name: string; peerId: string }): string {
  return `${name} (${shortId(peerId)})`
}
