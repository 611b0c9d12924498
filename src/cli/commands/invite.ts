import { basename } from 'node:path'
import type { AnswerOf } from '../../contract/verbs.ts'
import type { Role } from '../../index.ts'
import { usage } from '../../terminal/errors.ts'
import { printJson, printLine } from '../../terminal/print.ts'
import { shellQuoted } from '../../terminal/shell.ts'
import { tableLines } from '../../terminal/table.ts'
import { formatCount, parseTime } from '../../terminal/units.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import { createInviteFile, readInvite } from '../invite-file.ts'
import { ROLE_VALUES, roleOf } from '../roles.ts'
import type { Session } from '../session.ts'
import { localTime } from '../times.ts'

const ROLE_DEFAULT: Role = 'writer'
/** The same bounds as the node's, so that a wrong flag is found before a file is created. */
const EXPIRES_MS_MIN = 60_000
const EXPIRES_MS_MAX = 365 * 86_400_000
const USES_MAX = 65_535
/** The number of digits of an invite's id that are shown, and the fewest that name one. */
const ID_DIGITS = 8

interface Flags {
  role?: Role
  expires?: number
  uses?: number | 'unlimited'
  out?: string
  list: boolean
  revoke?: string
}

export const invite: DfsCommand = {
  name: 'invite',
  summary: 'make an invite: a file that lets machines in',
  exits: ['notFound', 'noSpace'],
  examples: [
    ['dfs invite', 'one writer, within a day'],
    ['dfs invite --role storage --uses unlimited', 'any number of storage members'],
    ['dfs invite --revoke dfs-writer.invite', 'end an invite']
  ],
  declare(command) {
    command
      .option(`--role <${ROLE_VALUES}>`, `what those who use it may do (default ${ROLE_DEFAULT})`, roleOf('--role'))
      .option('--expires <time>', 'how long it is valid, 1m to 365d (default 24h)', parseExpires)
      .option('--uses <n|unlimited>', 'how many machines may use it (default 1)', parseUses)
      .option('--out <file>', 'the new file for it (default dfs-ROLE.invite in this folder)', nonEmpty)
      .option('--list', 'show the invites instead', false)
      .option('--revoke <file|id>', 'end an invite instead; those whom it let in stay', nonEmpty)
  },
  async run(session: Session, flags: Flags) {
    const given = Object.keys(flags).filter(name => name !== 'list')
    if (flags.list) {
      if (given.length > 0) throw usage(`--list takes no other flag: leave out --${given[0]}`)
      await list(session)
    } else if (flags.revoke !== undefined) {
      if (given.length > 1) throw usage('--revoke takes no other flag: give only the invite to end')
      await revoke(session, flags.revoke)
    } else await make(session, flags)
  }
}

/** The token goes from the node into the file. It is never printed, so it reaches no log and no scrollback. */
async function make({ client, isJson }: Session, flags: Flags): Promise<void> {
  const { role = ROLE_DEFAULT, expires: expiresMs, uses } = flags
  const file = await createInviteFile(flags.out, role)
  let made: AnswerOf<'invite'> | undefined
  try {
    made = await client.call('invite', {
      role,
      ...(expiresMs === undefined ? {} : { expiresMs }),
      ...(uses === undefined ? {} : { uses })
    })
    await file.write(made.token)
  } catch (error) {
    await file.remove()
    // The disk is full, for example. An invite that nobody has is ended, so that it is not listed as open.
    if (made !== undefined) await client.call('revokeInvite', { invite: made.id })
    throw error
  }
  const facts = { file: file.path, command: commandFor(file.path), role: made.role, expires: made.expires }
  if (isJson) printJson({ ...facts, uses: made.uses, id: made.id })
  else for (const line of madeLines(facts, made.uses)) printLine(line)
}

async function list({ client, isJson }: Session): Promise<void> {
  const all = await client.call('invites', {})
  if (isJson) {
    printJson(all)
    return
  }
  const rows = all.map(({ id, role, state, used, uses, expires }) => [
    id.slice(0, ID_DIGITS),
    role,
    state,
    `${used} of ${uses ?? 'unlimited'}`,
    localTime(expires)
  ])
  for (const line of tableLines([['ID', 'ROLE', 'STATE', 'USED', 'UNTIL (LOCAL TIME)'], ...rows])) printLine(line)
}

async function revoke({ client, isJson, signal }: Session, given: string): Promise<void> {
  // A file with such a name can still be given, as `./NAME`.
  const isId = /^[0-9a-f]+$/i.test(given) && given.length >= ID_DIGITS
  if (!isId && /^[0-9a-f]+$/i.test(given))
    throw usage(
      `--revoke: an id has at least ${ID_DIGITS} digits (dfs invite --list shows them), and a file of this name is ./${given}`
    )
  const result = await client.call('revokeInvite', {
    invite: isId ? given.toLowerCase() : await readInvite(given, signal)
  })
  if (isJson) printJson(result)
  else printLine(`invite ${result.id.slice(0, ID_DIGITS)} lets nobody in any more; those whom it let in stay`)
}

interface MadeFacts {
  file: string
  command: string
  role: string
  expires: string
}

function madeLines({ file, command, role, expires }: MadeFacts, uses: number | null): string[] {
  const machines = uses === null ? 'any number of machines' : formatCount(uses, 'machine')
  return [
    `${file}  lets ${machines} in as ${role}, until ${localTime(expires)} local time. Copy it to the other machine, then run there:`,
    `    ${command}`,
    `Or from here: ssh HOST npx dfs-node --join - < ${shellQuoted(file)}`
  ]
}

/** Returns the command for the other machine, in the folder to which the file was copied. */
function commandFor(file: string): string {
  const name = basename(file)
  return `npx dfs-node --join ${shellQuoted(name.startsWith('-') ? `./${name}` : name)}`
}

function parseExpires(text: string): number {
  const ms = parseTime('--expires', text)
  if (ms < EXPIRES_MS_MIN || ms > EXPIRES_MS_MAX)
    throw usage(`--expires: "${text}" is out of bounds: give a time from 1m to 365d`)
  return ms
}

function parseUses(text: string): number | 'unlimited' {
  if (text === 'unlimited') return 'unlimited'
  if (!/^[1-9]\d{0,4}$/.test(text) || Number(text) > USES_MAX)
    throw usage(`--uses: "${text}" is not a number of uses: give "unlimited", or a number from 1 to ${USES_MAX}`)
  return Number(text)
}
