import type { AnswerOf } from '../../contract/verbs.ts'
import type { Role } from '../../index.ts'
import { escapeForTerminal } from '../../terminal/escape.ts'
import { hostIn } from '../../terminal/host-in.ts'
import { memberText, shortId } from '../../terminal/member-text.ts'
import { printJson, printLine } from '../../terminal/print.ts'
import { addHelpBelow } from '../../terminal/program.ts'
import { tableLines } from '../../terminal/table.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import { ROLE_VALUES, roleOf, withArticle } from '../roles.ts'
import type { Session } from '../session.ts'
import { agoText, leftText } from '../times.ts'

type Item = AnswerOf<'members'>[number]

const PEER_HELP = 'its peer id, a start or end of it, or its name'

const OUT_HELP = `
Members that stay away are out by themselves after a while, unless half of the members are away at once. \
This command says it at once. \
The member stays a member: it counts again as soon as it comes back.`

const approve: DfsCommand = {
  name: 'approve',
  summary: 'let in the machine that shows a code',
  exits: ['notFound'],
  declare(command) {
    command
      .argument('<code>', 'the code on the screen of that machine', nonEmpty)
      .option(
        `--role <${ROLE_VALUES}>`,
        'what it may do (default reader, or storage if it asked for that)',
        roleOf('--role')
      )
  },
  async run({ client, isJson }: Session, code: string, { role }: { role?: Role }) {
    const admitted = await client.call('approve', { code, ...(role === undefined ? {} : { role }) })
    if (isJson) printJson(admitted)
    else for (const line of approvedLines(admitted, role)) printLine(line)
  }
}

function approvedLines({ name, role, already }: AnswerOf<'approve'>, asked: Role | undefined): string[] {
  const who = escapeForTerminal(name)
  if (already !== true) return [`${who} is in, as ${role}`]
  const change = asked === undefined || asked === role ? '' : `: to change that, run dfs members role ${who} ${asked}`
  return [`${who} is already in, as ${role}${change}`]
}

const deny: DfsCommand = {
  name: 'deny',
  summary: 'turn away the machine that shows a code',
  exits: ['notFound'],
  declare(command) {
    command.argument('<code>', 'the code on the screen of that machine', nonEmpty)
  },
  async run({ client, isJson }: Session, code: string) {
    const denied = await client.call('deny', { code })
    if (isJson) printJson(denied)
    else printLine(`${escapeForTerminal(denied.name)} was turned away`)
  }
}

const role: DfsCommand = {
  name: 'role',
  summary: 'give a member a higher role',
  exits: ['notFound'],
  declare(command) {
    command.argument('<peer>', PEER_HELP, nonEmpty).argument(`<${ROLE_VALUES}>`, 'its new role', roleOf('ROLE'))
  },
  async run({ client, isJson }: Session, member: string, role: Role) {
    const changed = await client.call('setRole', { member, role })
    if (isJson) printJson(changed)
    else printLine(roleText(changed))
  }
}

function roleText({ name, role, already }: AnswerOf<'setRole'>): string {
  const who = escapeForTerminal(name)
  return already === true ? `${who} is ${withArticle(role)} already` : `${who} is ${withArticle(role)} now`
}

const out: DfsCommand = {
  name: 'out',
  summary: 'say that a member is gone, so that the others take over its part',
  exits: ['notFound'],
  declare(command) {
    addHelpBelow(command.argument('<peer>', PEER_HELP, nonEmpty), OUT_HELP)
  },
  async run({ client, isJson }: Session, member: string) {
    const declared = await client.call('declareOut', { member })
    if (isJson) printJson(declared)
    else printLine(outText(declared))
  }
}

function outText({ connected, already, ...member }: AnswerOf<'declareOut'>): string {
  const who = escapeForTerminal(memberText(member))
  const what = `${who} is ${already === true ? 'already out' : 'out'}`
  if (connected) return `${what}, but it is connected and counts again in a moment: stop it first`
  return already === true
    ? `${what}, and counts again when it comes back`
    : `${what}: the others take over its part. It counts again when it comes back`
}

export const members: DfsCommand = {
  name: 'members',
  summary: 'show who is in and who waits; approve, deny, role, out',
  exits: [],
  examples: [
    ['dfs members', 'show who is in and who waits'],
    ['dfs members approve K7Q2ZD --role writer', 'let in who shows this code'],
    ['dfs members out vm', 'stop waiting for this machine']
  ],
  below: [approve, deny, role, out],
  unbuiltBelow: ['remove', 'vouch'],
  async run({ client, isJson }: Session) {
    const all = await client.call('members', {})
    if (isJson) printJson(all)
    else for (const line of memberLines(all, Date.now())) printLine(line)
  }
}

/** Returns the table of members. Of names, nothing reaches the terminal unescaped. */
export function memberLines(all: readonly Item[], nowMs: number): string[] {
  const head = ['NAME', 'ROLE', 'STATE', 'LAST SEEN', 'ADDRESS', 'LET IN BY', 'PEER']
  return tableLines([
    head,
    ...all.map(item => [
      item.name,
      item.role,
      // It can still be let in, and learns it when it asks again.
      item.state === 'pending' && item.lastSeen === null ? 'gone' : item.state,
      seenText(item, nowMs),
      hostIn(item.address ?? '') ?? '-',
      letInByText(item),
      item.peerId === null ? '-' : shortId(item.peerId)
    ])
  ])
}

function seenText({ self, code, expires, lastSeen }: Item, nowMs: number): string {
  if (code !== null) return `code ${code}${expires === null ? '' : `, ${leftText(expires, nowMs)}`}`
  if (self) return 'this one'
  return lastSeen === null ? 'never' : agoText(lastSeen, nowMs)
}

function letInByText({ state, admittedBy, invite }: Item): string {
  if (state === 'pending') return '-'
  const by = admittedBy === null ? 'the network key' : admittedBy.name
  return invite === null ? by : `${by}, by invite`
}
