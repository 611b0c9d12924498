import { resolve } from 'node:path'
import { CliError, usage } from '../../terminal/errors.ts'
import { printLine } from '../../terminal/print.ts'
import { isNpxCopy, programFile } from '../../terminal/program-here.ts'
import type { DfsCommand } from '../command.ts'
import type { Call } from '../session.ts'

export const service: DfsCommand = {
  name: 'service',
  summary: 'print a systemd unit that keeps the daemon running',
  exits: [],
  declare(command) {
    command
      .argument('[flags...]', 'further flags of dfs-node, after --')
      .addHelpText(
        'after',
        '\nExample:\n  dfs service -- --capacity 500GB > ~/.config/systemd/user/dfs-node.service\n  systemctl --user enable --now dfs-node\n  loginctl enable-linger   # so that it runs while nobody is logged in'
      )
  },
  async runLocally({ where, isJson }: Call, flags: string[]) {
    if (isJson) throw usage('a unit is text: leave out --json')
    if (process.platform !== 'linux')
      throw new CliError(
        'unsupported',
        'systemd is there on Linux only: start dfs-node at login with what your system has for it'
      )
    if (where.dataDir === undefined) throw usage('the unit is for a daemon on this machine: give --data-dir, not --api')
    if (isNpxCopy())
      throw new CliError(
        'failed',
        'this is a copy in the cache of npx, which npm may remove: install the program first (npm install --global dfs-node), then run dfs service'
      )
    const command = [process.execPath, programFile('dfs-node'), '--data-dir', resolve(where.dataDir), ...flags]
    for (const line of unitLines(command)) printLine(line)
  }
}

/** Returns the lines of the unit. systemd.service(5) has the words, and systemd.syntax(7) the quotes. */
function unitLines(command: readonly string[]): string[] {
  return [
    '[Unit]',
    'Description=dfs-node, a private, encrypted, replicated file system',
    '',
    '[Service]',
    `ExecStart=${command.map(quoted).join(' ')}`,
    'Restart=on-failure',
    'RestartSec=5',
    '# Wrong flags stay wrong, however often they are tried.',
    'RestartPreventExitStatus=2',
    'TimeoutStopSec=60',
    'UMask=0077',
    'NoNewPrivileges=yes',
    '',
    '[Install]',
    'WantedBy=default.target'
  ]
}

function quoted(word: string): string {
  const escaped = word.replace(/[\\"]/g, '\\$&').replace(/%/g, '%%').replace(/\$/g, '$$$$')
  return /^[\w@%+=:,./-]+$/.test(word) ? escaped : `"${escaped}"`
}
