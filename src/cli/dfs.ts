import { closest } from '../terminal/closest.ts'
import { usage } from '../terminal/errors.ts'
import { type Example, examplesText } from '../terminal/examples.ts'
import { EXIT, EXIT_NAMES, exitLine } from '../terminal/exit.ts'
import { addHelpBelow, newProgram, runProgram } from '../terminal/program.ts'
import { hideProgress } from '../terminal/progress.ts'
import { addCommand, type DfsCommand } from './command.ts'
import { addGlobalFlags, type GlobalFlags, whereOf } from './global-flags.ts'
import type { Call } from './session.ts'

/**
 * Every command by its group, in the order of the help, each with the module that holds it. Add a new command here, and
 * remove it from the list below.
 */
const GROUPS: Readonly<Record<string, Readonly<Record<string, () => Promise<DfsCommand>>>>> = {
  'Files:': {
    put: async () => (await import('./commands/put.ts')).put,
    get: async () => (await import('./commands/get.ts')).get,
    cat: async () => (await import('./commands/cat.ts')).cat,
    ls: async () => (await import('./commands/ls.ts')).ls,
    stat: async () => (await import('./commands/stat.ts')).stat,
    du: async () => (await import('./commands/du.ts')).du,
    mkdir: async () => (await import('./commands/mkdir.ts')).mkdir,
    mv: async () => (await import('./commands/mv.ts')).mv,
    cp: async () => (await import('./commands/cp.ts')).cp,
    rm: async () => (await import('./commands/rm.ts')).rm
  },
  'Undo:': {
    versions: async () => (await import('./commands/versions.ts')).versions,
    restore: async () => (await import('./commands/restore.ts')).restore
  },
  'Copies and this machine:': {
    status: async () => (await import('./commands/status.ts')).status,
    df: async () => (await import('./commands/df.ts')).df,
    gc: async () => (await import('./commands/gc.ts')).gc,
    fsck: async () => (await import('./commands/fsck.ts')).fsck,
    evict: async () => (await import('./commands/evict.ts')).evict,
    service: async () => (await import('./commands/service.ts')).service
  },
  'Who is in:': {
    members: async () => (await import('./commands/members.ts')).members,
    peers: async () => (await import('./commands/peers.ts')).peers,
    invite: async () => (await import('./commands/invite.ts')).invite,
    network: async () => (await import('./commands/network.ts')).network,
    config: async () => (await import('./commands/config.ts')).config
  }
}
const NAMES: readonly string[] = Object.values(GROUPS).flatMap(commands => Object.keys(commands))

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
  const start = args.findIndex(arg => NAMES.includes(arg))
  // After a command, `--version` is the version of a file.
  const hasVersion = start < 0 || !args.slice(start).some(arg => /^--version(=|$)/.test(arg))
  const program = newProgram(
    'dfs',
    'Files of a private, encrypted, replicated file system. Talks to the dfs-node on this machine.',
    { hasVersion }
  )
  addGlobalFlags(program)
  const callOf = (): Call => ({ where: whereOf(program), isJson: program.opts<GlobalFlags>().json, signal })
  const isNeeded = needed(args)
  for (const [heading, commands] of Object.entries(GROUPS)) {
    program.commandsGroup(heading)
    for (const [name, load] of Object.entries(commands)) if (isNeeded(name)) addCommand(program, await load(), callOf)
  }
  program.commandsGroup('Help:').helpCommand('help [command]', 'print this help, or that of a command')
  addHelpBelow(program, `\n${examplesText(EXAMPLES)}\n\n${exitLine(EXIT_NAMES)}\n${VARIABLES}`)
  program.on('command:*', ([name]: string[]) => refuseCommand(name as string))
  const [first, about] = args
  if (first === 'help' && about !== undefined && !NAMES.includes(about)) refuseCommand(about)
  await program.parseAsync(args, { from: 'user' })
}

/**
 * Says which commands this run needs: those that the arguments name, since one of these names is the command and the
 * others are arguments or values of flags. Help about `dfs` itself needs all of them.
 */
function needed(args: readonly string[]): (name: string) => boolean {
  const start = args.findIndex(arg => NAMES.includes(arg))
  const isHelp = args.slice(0, start).some(arg => ['help', '--help', '-h'].includes(arg))
  return name => start < 0 || isHelp || args.includes(name)
}

function refuseCommand(name: string): never {
  if (UNBUILT_COMMANDS.includes(name)) throw usage(`dfs ${name} is not built yet`)
  const meant = name === 'watch' ? 'ls --watch' : closest(name, [...NAMES, ...UNBUILT_COMMANDS])
  throw usage(
    `dfs ${name}: there is no such command: ${meant === undefined ? 'see dfs --help' : `did you mean dfs ${meant}?`}`
  )
}
