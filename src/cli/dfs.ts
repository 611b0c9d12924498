import { type Command, InvalidArgumentError } from 'commander'
import { defaultDataDir } from '../terminal/data-dir.ts'
import { usage } from '../terminal/errors.ts'
import { EXIT } from '../terminal/exit.ts'
import { newProgram, runProgram } from '../terminal/program.ts'
import { hideProgress } from '../terminal/progress.ts'
import { cat } from './commands/cat.ts'
import { get } from './commands/get.ts'
import { ls } from './commands/ls.ts'
import { put } from './commands/put.ts'
import { stat } from './commands/stat.ts'
import { peers, status } from './commands/status.ts'
import { cp, evict, mkdir, mv, rm } from './commands/tree.ts'
import { openSession, type Session } from './session.ts'
import { refuseCommand, refuseCommandFlags } from './unbuilt.ts'

interface GlobalFlags {
  dataDir: string
  api?: string
  tokenFile?: string
  json: boolean
}

/** The command line. Resolves with the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const interrupted = new AbortController()
  // A second signal ends the process at once, as it would without us.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort())
  const code = await runProgram(args.includes('--json'), async () => {
    const program = newProgram(
      'dfs',
      'Files of a private, encrypted, replicated file system: talks to the dfs-node on this machine.'
    )
    addGlobalFlags(program)
    addCommands(program, interrupted.signal)
    refuseCommandFlags(
      args,
      program.commands.map(command => command.name())
    )
    try {
      await program.parseAsync(args, { from: 'user' })
    } catch (error) {
      hideProgress()
      if (!interrupted.signal.aborted) throw error
    }
  })
  return interrupted.signal.aborted ? EXIT.interrupted : code
}

function addGlobalFlags(program: Command): void {
  const { env } = process
  program
    .option('--data-dir <dir>', 'data directory of the node to talk to', env['DFS_DATA_DIR'] || defaultDataDir())
    .option('--api <url>', 'address of its API instead', env['DFS_API_URL'] || undefined)
    .option('--token-file <file>', 'file with the token for --api', env['DFS_TOKEN_FILE'] || undefined)
    .option('--json', 'one JSON object a line', false)
    .on('command:*', ([name]: string[]) => refuseCommand(name as string))
}

/** Whom to talk to. What is given as a flag counts before what the environment says. */
function whereOf(program: Command): { dataDir: string; api?: string; tokenFile?: string } {
  const { dataDir, api, tokenFile } = program.opts<GlobalFlags>()
  const isGiven = (flag: string): boolean => program.getOptionValueSource(flag) === 'cli'
  if (isGiven('dataDir') && isGiven('api')) throw usage('--data-dir and --api exclude each other')
  if (api === undefined || isGiven('dataDir')) return { dataDir }
  return { dataDir, api, ...(tokenFile === undefined ? {} : { tokenFile }) }
}

function addCommands(program: Command, signal: AbortSignal): void {
  const run =
    <Args extends unknown[]>(command: (session: Session, ...args: Args) => Promise<void>) =>
    async (...args: unknown[]): Promise<void> => {
      const session = await openSession(whereOf(program), program.opts<GlobalFlags>().json, signal)
      try {
        // Commander appends the command itself, which no command needs.
        await command(session, ...(args.slice(0, -1) as Args))
      } finally {
        session.client.close()
      }
    }
  const command = (name: string, text: string): Command => program.command(name).description(text)

  command('put', 'store a file, a folder, or - for stdin')
    .argument('<source>', 'local file or folder', some)
    .argument('[path]', 'where to; its own name unless given', some)
    .option('--no-clobber', 'fail rather than replace')
    .option('--replicas <n|all>', 'copies of it')
    .option('--ack <n|all>', 'copies that must be durable before this returns')
    .action(run(put))
  command('get', 'fetch a file or a directory; - is stdout')
    .argument('<path>', 'file or directory', some)
    .argument('[target]', 'local file or folder', some)
    .option('--force', 'replace local files', false)
    .action(run(get))
  command('cat', 'write a file to stdout')
    .argument('<path>', 'file', some)
    .option('--range <first-last>', 'only these bytes, the first is 0')
    .action(run(cat))
  command('ls', 'list a directory')
    .argument('[path]', 'directory', some, '/')
    .option('-l, --long', 'with sizes and times', false)
    .option('-R, --recursive', 'with all below', false)
    .action(run(ls))
  command('stat', 'facts of a file or directory, and its confirmed copies')
    .argument('<path>', 'file or directory', some)
    .action(run(stat))
  command('mkdir', 'make a directory, and those above it').argument('<path>', 'directory', some).action(run(mkdir))
  command('mv', 'move or rename')
    .argument('<old>', 'file or directory', some)
    .argument('<new>', 'where to', some)
    .option('--no-clobber', 'fail rather than replace')
    .action(run(mv))
  command('cp', 'copy; no byte is moved')
    .argument('<old>', 'file or directory', some)
    .argument('<new>', 'where to', some)
    .option('--no-clobber', 'fail rather than replace')
    .action(run(cp))
  command('rm', 'remove a file, with -r a directory')
    .argument('<path>', 'file or directory', some)
    .option('-r, --recursive', 'a directory and all below it', false)
    .action(run(rm))
  command('evict', "drop this node's copies once others prove theirs")
    .argument('<path>', 'file or directory', some)
    .action(run(evict))
  command('status', 'how this node is').action(run(status))
  command('peers', 'the other members').action(run(peers))
}

// An empty path is a variable that a script forgot to set, and would mean the root.
function some(text: string): string {
  if (text === '') throw new InvalidArgumentError('It is empty.')
  return text
}
