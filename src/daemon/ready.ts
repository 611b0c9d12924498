import type { DfsNode } from '../index.ts'
import { defaultDataDir } from '../terminal/data-dir.ts'
import { printJson } from '../terminal/print.ts'
import { shellQuoted } from '../terminal/shell.ts'
import type { DaemonFlags } from './flags.ts'

/** Prints that the daemon is ready, and tells a person what to do next. */
export function sayReady(node: DfsNode, api: string, flags: DaemonFlags, isFirst: boolean): void {
  const { json, dataDir, networkKeyFile } = flags
  const { peerId, network, multiaddrs, name, role } = node
  if (json) {
    printJson({ event: 'ready', peerId, network, multiaddrs, api })
    return
  }
  const where = dataDir === defaultDataDir() ? '' : `--data-dir ${shellQuoted(dataDir)} `
  const lines = [
    `${name} is up, as ${role} of network ${network.slice(0, 16)}…`,
    ...multiaddrs.map(address => `  listening on ${address}`),
    `  API at ${api}`,
    '',
    `Use it:        npx -p dfs-node dfs ${where}status`,
    `Add a machine: npx dfs-node --network-key-file FILE --bootstrap ${reachable(multiaddrs)}`,
    ...(!isFirst || networkKeyFile !== undefined ? [] : ['', ...NO_KEY_FILE]),
    ''
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

const NO_KEY_FILE = [
  'The key of this new network is not in a file, and no machine can be added without one.',
  'To have a network that you can add machines to, found it with --new --network-key-file FILE.'
]

/** Returns the address of this node that is most likely to work from another machine. */
function reachable(multiaddrs: readonly string[]): string {
  return multiaddrs.find(address => !address.includes('/127.0.0.1/')) ?? multiaddrs[0] ?? 'MULTIADDR'
}
