import { defaultDataDir } from '../terminal/data-dir.ts'
import { escapeForTerminal } from '../terminal/escape.ts'
import { DFS_ANYWHERE, programHere } from '../terminal/program-here.ts'
import { shellQuoted } from '../terminal/shell.ts'
import { formatDuration } from '../terminal/units.ts'

/** What the daemon says to a person. Everything is text without control characters of others. */

/** Returns the command line of `dfs` on this machine, for its data directory; by default it finds the usual one. */
function dfsFor(dataDir: string): string {
  const dfs = programHere('dfs')
  return dataDir === defaultDataDir() ? dfs : `${dfs} --data-dir ${shellQuoted(dataDir)}`
}

/** Returns the command that lets a machine in: on this member with its data directory, else on another machine. */
export function approveCommand(code: string, role: string, dataDir?: string): string {
  const dfs = dataDir === undefined ? DFS_ANYWHERE : dfsFor(dataDir)
  return `${dfs} members approve ${code} --role ${role}`
}

/** Returns the command that starts a node on this data directory which asks at an address to be let in. */
export function joinCommand(address: string, dataDir: string): string {
  const place = dataDir === defaultDataDir() ? '' : ` --data-dir ${shellQuoted(dataDir)}`
  return escapeForTerminal(`${programHere('dfs-node')}${place} --bootstrap ${address}`)
}

export interface FirstWords {
  name: string
  role: string
  /** The words of the network. */
  words: string
  /** How this start came about. */
  way: 'founded' | 'recovered' | 'joined' | 'again'
  dataDir: string
  multiaddrs: readonly string[]
  api: string
  /** The names of admins, if this member is not one. */
  admins: readonly string[]
  holdsKey: boolean
  /** True if this machine was a member and is none any more. */
  isRemoved: boolean
  /** True if no other member is connected. */
  isAlone: boolean
  /** The flags that say how a new machine becomes a member, if they were given to one that is a member already. */
  checkedFlags: readonly string[]
}

/** Returns the lines that say that the node is up, and what to do next. */
export function firstWords(facts: FirstWords): string[] {
  const { dataDir, multiaddrs, api, holdsKey, checkedFlags } = facts
  const dfs = dfsFor(dataDir)
  return [
    headline(facts),
    `  data in ${dataDir}`,
    ...multiaddrs.map(address => `  listening on ${address}`),
    `  API at ${api}`,
    ...(checkedFlags.length === 0
      ? []
      : [`  only checked, since this directory is that of a member already: ${checkedFlags.join(', ')}`]),
    ...lonely(facts),
    '',
    `Use it:         ${dfs} status`,
    ...next(facts),
    ...(holdsKey ? [`Keep the key:   ${dfs} network recovery`] : []),
    ''
  ].map(escapeForTerminal)
}

function headline({ name, role, words, way, isRemoved }: FirstWords): string {
  if (isRemoved) return `${name} is no member of ${words} any more`
  switch (way) {
    case 'founded':
      return `${name} founded a new network: ${words}`
    case 'recovered':
      return `${name} recovered the network ${words}, as ${role}`
    case 'joined':
      return `${name} joined ${words}, as ${role}`
    case 'again':
      return `${name} is up, as ${role} of ${words}`
  }
}

/** Returns the line for a new member that reads: the files are on other members, and it has reached none of them. */
function lonely({ way, role, isAlone, isRemoved }: FirstWords): string[] {
  if (!isAlone || isRemoved || role === 'storage' || way === 'founded' || way === 'again') return []
  return ['  no other member is connected yet: the files appear once one is (--bootstrap says where one is)']
}

function next({ role, admins, dataDir, multiaddrs, isRemoved }: FirstWords): string[] {
  if (isRemoved)
    return [
      `Join again:     stop this node, remove ${shellQuoted(dataDir)}, and start with a new invite or --bootstrap`
    ]
  return role === 'admin'
    ? admit(dataDir, multiaddrs)
    : [`Add a machine:  on an admin${named(admins)}: ${DFS_ANYWHERE} invite`]
}

function admit(dataDir: string, multiaddrs: readonly string[]): string[] {
  return [
    `Add a machine:  npx dfs-node --bootstrap ${reachable(multiaddrs)}`,
    `                It shows a code. Let it in here: ${approveCommand('CODE', 'writer', dataDir)}`
  ]
}

function named(admins: readonly string[]): string {
  return admins.length === 0 ? '' : ` (${admins.slice(0, 3).join(', ')})`
}

/** Returns the address of a node that is most likely to work from another machine. */
function reachable(multiaddrs: readonly string[]): string {
  return (
    multiaddrs.find(address => !/^\/ip4\/127\.|^\/ip6\/(::1\/|fe80:)/.test(address)) ?? multiaddrs[0] ?? 'MULTIADDR'
  )
}

/** The number of places that a line names. */
const PLACES_SHOWN_MAX = 3

/** Returns the line that says where this machine asks to be let in; it looks around if there is no such place. */
export function seekingWords(places: readonly string[]): string {
  if (places.length === 0) return 'Looking for networks nearby…'
  const more = places.length - PLACES_SHOWN_MAX
  return `Asking at ${places.slice(0, PLACES_SHOWN_MAX).join(', ')}${more > 0 ? ` and ${more} more` : ''}…`
}

/** Returns the line about a place where this machine asks to be let in, and where nobody answers. */
export function unreachableWords({ address, reason }: { address: string; reason: string }): string {
  return escapeForTerminal(`no way in at ${address}: ${reason}; trying again`)
}

export interface PendingWords {
  name: string
  words: string
  code: string
  role: string
  /** Where the network answers, such as `at 192.168.1.20`. */
  where: string
}

/** Returns the lines that a machine shows while it asks to be let in. */
export function pendingWords({ name, words, code, role, where }: PendingWords): string[] {
  return [
    `This machine (${name}) asks to join the network`,
    `    ${words}`,
    `that answers ${where}. \`dfs network\` shows the same words there.`,
    '',
    ...approveWords(code, role)
  ].map(escapeForTerminal)
}

export function approveWords(code: string, role: string): string[] {
  return ['On a machine that is already in and an admin, run:', `    ${approveCommand(code, role)}`, '']
}

/** Returns the line that is redrawn while the machine waits. */
export function countdown(code: string, leftMs: number): string {
  return `waiting for approval of ${code}, ${formatDuration(Math.max(0, leftMs) / 1_000)} left`
}

/** Returns the line that says who let this machine in; `by` is null if the member has no name here. */
export function admittedWords(by: string | null, role: string): string {
  return escapeForTerminal(`${by ?? 'a member'} let this machine in, as ${role}.`)
}

interface Asking {
  name: string
  code: string
  role: string
}

/** Returns the line on a member's screen about a machine that asks to be let in. */
export function askingWords({ name, code, role }: Asking, dataDir: string): string {
  return escapeForTerminal(
    `${name} asks to be let in as ${role}. If it shows the code ${code}: ${approveCommand(code, role, dataDir)}`
  )
}

interface Nearby {
  words: string | null
  /** Where a member of it answered. */
  address: string | null
}

/** Returns the line that tells the founder of a network that there is another one, which may be the one to join. */
export function nearbyWords({ words, address }: Nearby, dataDir: string): string {
  return `another network is nearby${words === null ? '' : `: ${words}`}. To join that one instead: stop this node, remove ${shellQuoted(dataDir)}, and start ${joinCommand(address ?? 'ADDRESS', dataDir)}`
}
