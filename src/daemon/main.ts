import { isOn, runProgram } from '../terminal/program.ts'
import { parseDaemonFlags } from './flags.ts'

/** Runs the daemon. Resolves with the exit code once it has stopped. */
export function main(args: readonly string[]): Promise<number> {
  // Libraries create files, such as those of the index, that nobody else on this machine needs to read.
  process.umask(0o077)
  const isJson = args.includes('--json') || isOn(process.env['DFS_JSON'])
  return runProgram(isJson, async () => {
    const flags = parseDaemonFlags(args)
    // The node has many modules. A person who asks for help or mistypes a flag should not wait for them.
    const { runNode } = await import('./dfs-node.ts')
    await runNode(flags)
  })
}
