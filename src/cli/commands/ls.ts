import { basename } from 'node:path'
import type { AnswerOf } from '../../contract/verbs.ts'
import { usage } from '../../terminal/errors.ts'
import { isStdoutOpen, printJson, printLine, stdoutDrained } from '../../terminal/print.ts'
import { formatBytes } from '../../terminal/units.ts'
import { type DfsCommand, nonEmpty } from '../command.ts'
import type { Session } from '../session.ts'
import { localTime } from '../times.ts'

interface Flags {
  long: boolean
  recursive: boolean
  deleted: boolean
  watch: boolean
  since?: string
}

export const ls: DfsCommand = {
  name: 'ls',
  summary: 'list a directory',
  exits: ['notFound'],
  examples: [
    ['dfs ls -lR /photos', 'list everything below a directory'],
    ['dfs ls --deleted /photos', 'list what was removed from it'],
    ['dfs ls -R --watch /photos', 'list, then show changes until Ctrl-C'],
    ['dfs ls --watch --json --since CURSOR', 'go on after an earlier line']
  ],
  declare(command) {
    command
      .argument('[path]', 'directory (default /)', nonEmpty, '/')
      .option('-l, --long', 'with sizes, times, and which files are on this machine', false)
      .option('-R, --recursive', 'with everything below it', false)
      .option('--deleted', 'list what was removed, instead of what is there', false)
      .option('--watch', 'then show each change, whoever makes it', false)
      .option('--since <cursor>', 'with --watch: no list, but all changes since this cursor', nonEmpty)
  },
  async run(session: Session, path: string, flags: Flags) {
    if (flags.since !== undefined && !flags.watch) throw usage('--since needs --watch')
    if (flags.deleted && flags.watch) throw usage('--watch does not go with --deleted')
    if (flags.watch) await watch(session, path, flags)
    else await list(session, path, flags)
  }
}

async function list({ client, isJson }: Session, path: string, flags: Flags): Promise<void> {
  const { recursive, deleted, long } = flags
  const fields = { path, recursive, here: long && !deleted, ...(deleted ? { deleted } : {}) }
  for await (const item of client.stream('list', fields)) {
    if (!isStdoutOpen()) return
    if (isJson) printJson(item)
    else printLine(lineOf(item, flags))
    await stdoutDrained()
  }
}

/** Prints what is there, and then what changes. It ends only if somebody ends it, or the node stops. */
async function watch({ client, isJson }: Session, path: string, { recursive, since, long }: Flags): Promise<void> {
  // Unlike a watch, a listing says that nothing is there.
  if (since === undefined) await client.call('stat', { path })
  let isListing = since === undefined
  for await (const event of client.stream('watch', { path, recursive, since, list: since === undefined })) {
    if (!isStdoutOpen()) return
    const { change, kind } = event
    if (isJson) printJson(event)
    else if (!isListing && change !== 'current') printLine(changeLine(event, long))
    else if (kind !== null) printLine(lineOf(itemOf(event, kind), { long, recursive }))
    if (change === 'current') isListing = false
    await stdoutDrained()
  }
}

function itemOf({ path, size, modified, change }: AnswerOf<'watch'>, kind: 'file' | 'directory'): AnswerOf<'list'> {
  return { path, kind, size, modified: modified ?? '', conflict: change === 'conflict' }
}

function lineOf(item: AnswerOf<'list'>, { long, recursive }: Pick<Flags, 'long' | 'recursive'>): string {
  const { path, kind, conflict } = item
  const name = (recursive ? path : basename(path)) + (kind === 'directory' ? '/' : '')
  if (!long) return name
  const isForPerson = process.stdout.isTTY === true
  return item.deletedAt === undefined
    ? longLine(item, name, isForPerson) + (conflict ? '  (conflict)' : '')
    : deletedLine(item, name, isForPerson)
}

/** Returns the line of `ls -l --deleted`, with the time of the removal. */
function deletedLine({ kind, size, deletedAt }: AnswerOf<'list'>, name: string, isForPerson: boolean): string {
  return `${amountText({ kind, size }, isForPerson)}  removed ${localTime(deletedAt as string)}  ${name}`
}

function amountText({ kind, size }: Pick<AnswerOf<'list'>, 'kind' | 'size'>, isForPerson: boolean): string {
  const amount = kind === 'directory' ? '-' : isForPerson ? formatBytes(size) : String(size)
  return amount.padStart(isForPerson ? 10 : 14)
}

/** Returns the line of `ls -l`. A person gets sizes in units, and a script gets bytes. */
export function longLine({ kind, size, modified, here }: AnswerOf<'list'>, name: string, isForPerson: boolean): string {
  const place = here === true ? 'here' : '-'
  return `${amountText({ kind, size }, isForPerson)}  ${localTime(modified)}  ${place.padEnd(4)}  ${name}`
}

/** Returns the line of a change: what happened, where, and who did it. */
function changeLine({ change, path, from, kind, size, modified, author }: AnswerOf<'watch'>, long: boolean): string {
  const what = (from === undefined ? path : `${from} -> ${path}`) + (kind === 'directory' ? '/' : '')
  const facts = long && kind === 'file' && modified !== null ? `  ${formatBytes(size)}, ${localTime(modified)}` : ''
  const by = author === null ? '' : `  (${author.name})`
  const note = change === 'reset' ? '  what is there is listed again' : ''
  return `${change.padEnd(8)}  ${what}${facts}${by}${note}`
}
