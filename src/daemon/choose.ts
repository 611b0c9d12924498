import type { FoundNetwork, NodeOptions } from '../index.ts'
import { usage } from '../terminal/errors.ts'
import { escapeForTerminal } from '../terminal/escape.ts'
import { note } from '../terminal/print.ts'
import { ask, isInteractive } from '../terminal/prompt.ts'
import type { DaemonFlags } from './flags.ts'
import { joinCommand } from './words.ts'

/**
 * Returns how the owner chooses the network to join. On a terminal a person compares the words. Without a terminal, a
 * network nearby is never joined, because anyone may announce one. A peer that answers at an address that the owner
 * gave is believed, with a warning if the address does not name the peer.
 */
export function chooserFor(flags: DaemonFlags, signal: AbortSignal): NonNullable<NodeOptions['choose']> {
  const canAsk = isInteractive() && !flags.json
  return async found => {
    const [first] = found
    if (first === undefined) {
      say(flags.mdns ? 'No network is nearby: founding a new one.' : 'Founding a new network.', flags)
      return 'found'
    }
    if ((flags.bootstrap ?? []).length > 0) return canAsk ? confirm(first, signal) : trust(first)
    if (canAsk) return found.length === 1 ? confirm(first, signal) : pick(found, signal)
    throw usage(
      `a network is nearby (${first.words}, ${answered(first)}). To join it: ${joinCommand(addressIn(first), flags.dataDir)}. To found another one, pass --new`
    )
  }
}

/** Says something to a person who watches the start. With `--json` stdout is for programs. */
export function say(text: string, { json }: Pick<DaemonFlags, 'json'>): void {
  if (json) note(text)
  else process.stdout.write(`${escapeForTerminal(text)}\n`)
}

async function confirm(found: FoundNetwork, signal: AbortSignal): Promise<FoundNetwork> {
  process.stdout.write(`Found: ${found.words} (${answered(found)})\n`)
  const answer = await ask('Join it? Compare the words with "dfs network" there. [y/N] ', { signal })
  if (!/^y(es)?$/i.test(answer.trim())) throw declined()
  return found
}

async function pick(found: readonly FoundNetwork[], signal: AbortSignal): Promise<FoundNetwork> {
  const lines = found.map((network, i) => `  ${i + 1}  ${network.words} (${answered(network)})`)
  process.stdout.write(`Found:\n${lines.join('\n')}\n`)
  const answer = await ask('Join which one? Compare the words with "dfs network" there. [number, or N for none] ', {
    signal
  })
  const chosen = /^\d{1,3}$/.test(answer.trim()) ? found[Number(answer) - 1] : undefined
  if (chosen === undefined) throw declined()
  return chosen
}

function trust(found: FoundNetwork): FoundNetwork {
  note(
    `the --bootstrap address has no /p2p/ part, so whoever answers there could let this machine into a network of their own: compare these words with "dfs network" on your machines: ${found.words}`
  )
  return found
}

/** Returns an address of a member that answered, with its peer id, so that no other node is taken for it. */
function addressIn({ peers: [peer] }: FoundNetwork): string {
  const [address] = peer?.addresses ?? []
  if (peer === undefined || address === undefined) return 'ADDRESS'
  return address.includes('/p2p/') ? address : `${address}/p2p/${peer.peerId}`
}

function declined(): Error {
  return usage('nothing was joined or founded: pass --new to found a network of your own')
}

function answered({ peers }: FoundNetwork): string {
  return peers.length === 1 ? '1 member answered' : `${peers.length} members answered`
}
