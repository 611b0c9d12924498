import { closest } from '../terminal/closest.ts'
import { usage } from '../terminal/errors.ts'
import { type Example, examplesText } from '../terminal/examples.ts'
import { EXIT, EXIT_NAMES, exitLine } from '../terminal/exit.ts'
import { addHelpBelow, newProgram, runProgram } from '../terminal/program.ts'
import { hideProgress } from '../terminal/progress.ts'
import { addCommand, type DfsCommand } from './command.ts'
import { cat } from './commands/cat.ts'
import { config } from './commands/config.ts'
import { cp } from './commands/cp.ts'
import { df } from './commands/df.ts'
import { du } from './commands/du.ts'
import { evict } from './commands/evict.ts'
import { fsck } from './commands/fsck.ts'
import { gc } from './commands/gc.ts'
import { get } from './commands/get.ts'
import { invite } from './commands/invite.ts'
import { ls } from './commands/ls.ts'
import { members } from './commands/members.ts'
import { mkdir } from './commands/mkdir.ts'
import { mv } from './commands/mv.ts'
import { network } from './commands/network.ts'
import { peers } from './commands/peers.ts'
import { put } from './commands/put.ts'
import { restore } from './commands/restore.ts'
import { rm } from './commands/rm.ts'
import { service } from './commands/service.ts'
import { stat } from './commands/stat.ts'
import { status } from './commands/status.ts'
import { versions } from './commands/versions.ts'
import { addGlobalFlags, type GlobalFlags, whereOf } from './global-flags.ts'
import type { Call } from './session.ts'

/** Every command by its group, in the order of the help. Add a new command here, and remove it from the list below. */
const GROUPS: ReadonlyArray<readonly [heading: string, commands: readonly DfsCommand[]]> = [
  ['Files:', [put, get, cat, ls, stat, du, mkdir, mv, cp, rm]],
  ['Undo:', [versions, restore]],
  ['Copies and this machine:', [status, df, gc, fsck, evict, service]],
  ['Who is in:', [members, peers, invite, network, config]]
]
const COMMANDS: readonly DfsCommand[] = GROUPS.flatMap(([, commands]) => commands)

const EXAMPLES: readonly Example[] = [
  ['dfs put photos', 'store a folder, as /photos'],
  ['dfs get /photos/x.png', 'fetch a file into this folder'],
  ['dfs ls -lR /photos', 'list everything below a directory'],
  ['dfs members', 'show who is in, and who waits to be let in'],
  ['dfs put --help', 'show the flags of a command']
]
const VARIABLES =
  'Variables: DFS_DATA_DIR, DFS_API_URL and DFS_TOKEN_FILE stand for the flags; a flag wins over its variable.'

/** Commands that are promised but not built yet. They are refused by name, so that no script relies on them. */
const UNBUILT_COMMANDS = [
  ...['sync', 'replicas', 'share', 'unshare', 'fetch', 'export', 'import'],
  ...['drain', 'repair', 'reencrypt', 'access', 'console', 'doctor', 'completion']
]

/** Runs the command line. Resolves with the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const interrupted = new AbortController()
  // We listen only once, so that a second signal ends the process immediately, as it would end any other program.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => interrupted.abort())
  const code = await runProgram(args.includes('--json'), async () => {
    try {
      await run(args, interrupted.signal)
    } catch (error) {
      hideProgress()
      if (!interrupted.signal.aborted) throw error
    }
  })
  return interrupted.signal.aborted ? EXIT.interrupted : code
}

async function run(args: readonly string[], signal: AbortSignal): Promise<void> {
  const names = new Set(COMMANDS.map(({ name }) => name))
  const start = args.findIndex(arg => names.has(arg))
  // After a command, `--version` is the version of a file.
  const hasVersion = start < 0 || !args.slice(start).some(arg => /^--version(=|$)/.test(arg))
  const program = newProgram(
    'dfs',
    'Files of a private, encrypted, replicated file system. Talks to the dfs-node on this machine.',
    { hasVersion }
  )
  addGlobalFlags(program)
  const callOf = (): Call => ({ where: whereOf(program), isJson: program.opts<GlobalFlags>().json, signal })
  for (const [heading, commands] of GROUPS) {
    program.commandsGroup(heading)
    for (const command of commands) addCommand(program, command, callOf)
  }
  program.commandsGroup('Help:').helpCommand('help [command]', 'print this help, or that of a command')
  addHelpBelow(program, `\n${examplesText(EXAMPLES)}\n\n${exitLine(EXIT_NAMES)}\n${VARIABLES}`)
  program.on('command:*', ([name]: string[]) => refuseCommand(name as string))
  await program.parseAsync(args, { from: 'user' })
}

function refuseCommand(name: string): never {
  if (UNBUILT_COMMANDS.includes(name)) throw usage(`dfs ${name} is not built yet`)
  const meant = closest(name, [...COMMANDS.map(({ name }) => name), ...UNBUILT_COMMANDS])
  throw usage(
    `dfs ${name}: there is no such command: ${meant === undefined ? 'see dfs --help' : `did you mean dfs ${meant}?`}`
  )
}
