import { Command, CommanderError } from 'commander'
import { cat } from './commands/cat.ts'
import { get } from './commands/get.ts'
import { ls } from './commands/ls.ts'
import { put } from './commands/put.ts'
import { stat } from './commands/stat.ts'
import { peers, status } from './commands/status.ts'
import { cp, evict, mkdir, mv, rm } from './commands/tree.ts'
import { defaultDataDir } from './data-dir.ts'
import { EXIT, exitOf, report } from './exit.ts'
import { openSession, type Session } from './session.ts'
import { refuseCommand, refuseUnbuiltFlags } from './unbuilt.ts'
import { version } from './version.ts'

interface GlobalFlags {
  dataDir: string
  api?: string
  tokenFile?: string
  json: boolean
}

/** The command line. Resolves with the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const interrupted = new AbortController()
  process.once('SIGINT', () => interrupted.abort())
  process.once('SIGTERM', () => interrupted.abort())
  const isJson = args.includes('--json')
  const program = new Command('dfs')
  try {
    refuseUnbuiltFlags(args, 'dfs')
    build(program, interrupted.signal)
    await program.parseAsync(args, { from: 'user' })
    return EXIT.done
  } catch (error) {
    if (interrupted.signal.aborted) return EXIT.interrupted
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage
    report(error, isJson)
    return exitOf(error)
  }
}

function build(program: Command, signal: AbortSignal): void {
  const run =
    <Args extends unknown[]>(command: (session: Session, ...args: Args) => Promise<void>) =>
    async (...args: unknown[]): Promise<void> => {
      const { dataDir, json, ...where } = program.opts<GlobalFlags>()
      const session = await openSession({ dataDir, ...where }, json, signal)
      try {
        // Commander appends the command itself, which no command needs.
        await command(session, ...(args.slice(0, -1) as Args))
      } finally {
        session.client.close()
      }
    }
  program
    .description('Files of a private, encrypted, replicated file system: talks to the dfs-node on this machine.')
    .version(version)
    .option(
      '--data-dir <dir>',
      'data directory of the node to talk to',
      process.env['DFS_DATA_DIR'] ?? defaultDataDir()
    )
    .option('--api <url>', 'address of its API instead', process.env['DFS_API_URL'])
    .option('--token-file <file>', 'file with the token for --api', process.env['DFS_TOKEN_FILE'])
    .option('--json', 'one JSON object a line', false)
    .exitOverride()
    .on('command:*', ([name]: string[]) => refuseCommand(name as string))
  const command = (name: string, text: string): Command => program.command(name).description(text).exitOverride()

  command('put', 'store a file, a folder, or - for stdin')
    .argument('<source>')
    .argument('[path]')
    .option('--no-clobber', 'fail rather than replace')
    .option('--replicas <n|all>', 'copies of it')
    .option('--ack <n|all>', 'copies that must be durable before this returns')
    .action(run(put))
  command('get', 'fetch a file or a directory; - is stdout')
    .argument('<path>')
    .argument('[target]')
    .option('--force', 'replace local files', false)
    .action(run(get))
  command('cat', 'write a file to stdout')
    .argument('<path>')
    .option('--range <first-last>', 'only these bytes, the first is 0')
    .action(run(cat))
  command('ls', 'list a directory')
    .argument('[path]', 'directory', '/')
    .option('-l, --long', 'with sizes and times', false)
    .option('-R, --recursive', 'with all below', false)
    .action(run(ls))
  command('stat', 'facts of a file or directory, and its confirmed copies').argument('<path>').action(run(stat))
  command('mkdir', 'make a directory, and those above it').argument('<path>').action(run(mkdir))
  command('mv', 'move or rename')
    .argument('<old>')
    .argument('<new>')
    .option('--no-clobber', 'fail rather than replace')
    .action(run(mv))
  command('cp', 'copy; no byte is moved')
    .argument('<old>')
    .argument('<new>')
    .option('--no-clobber', 'fail rather than replace')
    .action(run(cp))
  command('rm', 'remove a file, with -r a directory')
    .argument('<path>')
    .option('-r, --recursive', 'a directory and all below it', false)
    .action(run(rm))
  command('evict', "drop this node's copies once others prove theirs").argument('<path>').action(run(evict))
  command('status', 'how this node is').action(run(status))
  command('peers', 'the other members').action(run(peers))
}
