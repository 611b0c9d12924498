import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { PROGRAMS } from '../../scripts/lib/programs.ts'
import { temporaryFolder } from '../fixtures/nodes.ts'
import { must, ROOT, shell } from '../fixtures/shell.ts'
import { hasTerminal } from '../fixtures/terminal.ts'
import { until } from '../fixtures/until.ts'

const skip =
  process.getuid?.() === 0 && hasTerminal ? false : 'needs root, to make a network, and a terminal of util-linux'
const ALIAS = "alias dfs='npx -p dfs-node dfs'"
const START_MS_MAX = 60_000
/** Runs the programs of this repository directly. pack.test.ts checks that npx finds them. */
const NPX = `#!/bin/sh
[ "$1" = -p ] && shift 2
program=$1
shift
npm_command=exec exec '${process.execPath}' '${PROGRAMS}/'$program.js "$@"
`

/** A command of the README, such as `attic$ dfs members`, and the lines that are printed below it there. */
interface Shown {
  host: string
  command: string
  lines: string[]
}

/** Returns what the README shows on a terminal, block by block. */
async function sessions(): Promise<Shown[][]> {
  const text = await readFile(join(ROOT, 'README.md'), 'utf8')
  const blocks = [...text.matchAll(/^```console\n(.*?)^```$/gms)].map(([, block]) => block as string)
  return blocks.map(block => {
    const shown: Shown[] = []
    for (const line of block.split('\n')) {
      const [, host, command] = /^([a-z]+)\$ (.*)$/.exec(line) ?? []
      if (host !== undefined) shown.push({ host, command: command as string, lines: [] })
      else if (line.trim() !== '' && line.trim() !== '…') shown.at(-1)?.lines.push(line)
    }
    return shown
  })
}

/** Replaces what differs between two sessions: addresses, ids, codes, the words of the network, and times. */
function normalized(line: string): string {
  return line
    .replace(/\/ip4\/\S+/g, 'ADDRESS')
    .replace(/\b\d+\.\d+\.\d+\.\d+\b/g, 'IP')
    .replace(/^(.* founded a new network: |\s{4}(?=[a-z]+( [a-z]+){5}$))[a-z ]+$/, '$1WORDS')
    .replace(/\b(code|approve|approval of) [0-9A-HJKMNP-TV-Z]{6}\b/, '$1 CODE_')
    .replace(/\d+ min( \d+ s)? left/, 'TIME left')
    .replace(/\d{4}-\d\d-\d\d \d\d:\d\d/g, 'MOMENT')
    .replace(/^[0-9a-f]{8}(?= )|(?<=restored version )[0-9a-f]{8}/, 'VERSION')
    .replace(/…\w{8}$/, '…ID')
    .replace(/^(\s*data in ).*/, '$1FOLDER')
    .trim()
    .replace(/\s+/g, ' ')
}

/** Machines with homes of their own on a network where nobody else is. */
class Machines {
  readonly #folder: string
  readonly #enter: string[]
  readonly #processes: ChildProcess[] = []
  /** What the last command on each machine that started a daemon has printed so far. */
  readonly screens = new Map<string, () => string>()

  constructor(folder: string, enter: string[]) {
    this.#folder = folder
    this.#enter = enter
  }

  static async create(t: TestContext): Promise<Machines> {
    const folder = await temporaryFolder(t)
    const name = `dfs-readme-${process.pid}-${Math.floor(performance.now())}`
    await must(['ip', 'netns', 'add', name])
    t.after(() => shell(['ip', 'netns', 'del', name]))
    await must(['ip', '-n', name, 'link', 'set', 'lo', 'up'])
    await writeFile(join(folder, 'npx'), NPX)
    await chmod(join(folder, 'npx'), 0o755)
    const machines = new Machines(folder, ['nsenter', `--net=/run/netns/${name}`, 'unshare', '--uts'])
    t.after(() => machines.stop())
    return machines
  }

  home(host: string): string {
    return join(this.#folder, host)
  }

  /** Runs a command on a terminal of a machine. Returns what it has printed so far, and resolves with all of it. */
  async run(host: string, command: string): Promise<{ soFar: () => string; whole: Promise<string> }> {
    const home = this.home(host)
    await mkdir(home, { recursive: true })
    const script = join(this.#folder, `${host}-${this.#processes.length}.sh`)
    const setup = `hostname ${host}; cd '${home}'; shopt -s expand_aliases; ${ALIAS}`
    await writeFile(script, `${setup}\n${command}\n`)
    const [enter, ...args] = this.#enter as [string, ...string[]]
    const clean = Object.entries(process.env).filter(([name]) => !/^(DFS_|XDG_)/.test(name))
    const child = spawn(enter, [...args, 'script', '-qec', `bash '${script}'`, '/dev/null'], {
      env: {
        ...Object.fromEntries(clean),
        HOME: home,
        PATH: `${this.#folder}:${dirname(process.execPath)}:${process.env['PATH']}`,
        TERM: 'xterm'
      }
    })
    this.#processes.push(child)
    let text = ''
    child.stdout.setEncoding('utf8').on('data', part => {
      text += part
    })
    // Text that was overwritten on the screen is gone.
    const soFar = (): string => text.replaceAll('\r\n', '\n').replace(/[^\n]*\r\x1b\[K/g, '')
    const whole = new Promise<string>(resolve => child.once('close', () => resolve(soFar())))
    return { soFar, whole }
  }

  isReady(host: string): boolean {
    return /Use it:/.test(this.screens.get(host)?.() ?? '')
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#processes.map(async child => {
        if (child.exitCode !== null || child.signalCode !== null) return
        const closed = new Promise(resolve => child.once('close', resolve))
        child.stdin?.write('\x03')
        await closed
      })
    )
  }
}

/** Returns the first line of the README that was not printed, or undefined if all were, in this order. */
function missing(lines: readonly string[], printed: string): string | undefined {
  const rest = printed.split('\n').map(normalized)
  return lines.find(line => {
    const at = rest.indexOf(normalized(line))
    rest.splice(0, at + 1)
    return at === -1
  })
}

/** Does what a session of the README does, and checks that each command prints what the README says. */
async function replay(machines: Machines, session: readonly Shown[], facts: Map<string, string>): Promise<void> {
  for (const { host, command, lines } of session) {
    let real = command
    for (const [shown, actual] of facts) real = real.replaceAll(shown, actual)
    const isDaemon = /^npx dfs-node\b/.test(command)
    // A person who uses a machine has read on its screen that it is ready.
    if (!isDaemon) await until(`${host} is ready`, () => machines.isReady(host), START_MS_MAX)
    const { soFar, whole } = await machines.run(host, real)
    if (isDaemon) {
      machines.screens.set(host, soFar)
      const isThere = (): boolean => missing(lines, soFar()) === undefined && /waiting for|Use it:/.test(soFar())
      await until(`${command} prints what the README says`, isThere, START_MS_MAX).catch(error => {
        throw new Error(`${command}: "${missing(lines, soFar())}" is not in\n${soFar()}`, { cause: error })
      })
    } else {
      const printed = await whole
      assert.equal(missing(lines, printed), undefined, `${command} printed\n${printed}`)
    }
    const printed = soFar()
    for (const pattern of [/--bootstrap (\S+)/, /members approve ([0-9A-Z]{6}) /, /^([0-9a-f]{8}) .* kept until/m]) {
      const shown = pattern.exec(lines.join('\n'))?.[1]
      const actual = pattern.exec(printed)?.[1]
      if (shown !== undefined && actual !== undefined) facts.set(shown, actual)
    }
  }
}

test('the sessions that the README shows happen as it shows them', { skip, timeout: 300_000 }, async t => {
  const [first, second, invite, automation, undo, ...others] = await sessions()
  assert.ok(first && second && invite && automation && undo)
  assert.ok(
    others.every(session => session.length === 0),
    'every session is tried'
  )
  const machines = await Machines.create(t)
  const facts = new Map<string, string>()
  await replay(machines, first, facts)
  await writeFile(join(machines.home('laptop'), 'holiday.png'), randomBytes(3_000_000))
  await replay(machines, second, facts)
  // Below the session, the README shows the line with which the daemon says that the other machine is there.
  const joined = (): boolean =>
    /^\d\d:\d\d:\d\d laptop joined \(…\w{8}\)$/m.test(machines.screens.get('attic')?.() ?? '')
  await until('attic says that laptop joined', joined, START_MS_MAX)

  await replay(machines, undo, facts)

  const [make, ...later] = invite
  await replay(machines, [make as Shown], facts)
  const line = (make as Shown).lines.find(text => text.startsWith('    npx '))?.trim() as string
  await mkdir(machines.home('pi'))
  await copyFile(join(machines.home('attic'), 'dfs-reader.invite'), join(machines.home('pi'), 'dfs-reader.invite'))
  await replay(machines, [{ host: 'pi', command: line, lines: [] }, ...later], facts)

  const scripted = await Machines.create(t)
  const [founder, entrant] = automation as [Shown, Shown]
  await replay(scripted, [founder], facts)
  await mkdir(scripted.home('pi'))
  await copyFile(join(scripted.home('attic'), 'writer.invite'), join(scripted.home('pi'), 'writer.invite'))
  await replay(scripted, [entrant], facts)
})
