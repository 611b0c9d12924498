import { CliError, codeOfAny, isOfOneFile, reasonOf, usage } from '../../terminal/errors.ts'
import { printJson, printLine } from '../../terminal/print.ts'
import { addHelpBelow } from '../../terminal/program.ts'
import { Progress } from '../../terminal/progress.ts'
import { formatBytes, parseCopies } from '../../terminal/units.ts'
import { type DfsCommand, eachNonEmpty } from '../command.ts'
import { collect, IGNORE_FILE, IgnoreRules } from '../ignore-rules.ts'
import { LocalError } from '../local-source.ts'
import { mediaTypeOf } from '../media-type.ts'
import type { PutRules } from '../put-fields.ts'
import { putFile } from '../put-file.ts'
import { PutRun, showPut } from '../put-run.ts'
import { lookAtSource, putArguments, type Source } from '../put-sources.ts'
import type { Session } from '../session.ts'

interface Flags {
  clobber: boolean
  dryRun?: boolean
  exclude?: string[]
  verbose?: boolean
  replicas?: string | undefined
  ack?: string | undefined
}

const HELP = `
The last argument is the path in the network if it starts with / or if nothing here has that name.
A folder put onto an existing directory merges into it, and its unchanged files are skipped. \
A file put onto one goes into it, as do several sources, and all sources if the path ends in /.
A ${IGNORE_FILE} in a folder says what of the folder is left out, with patterns as in a .gitignore.`

export const put: DfsCommand = {
  name: 'put',
  summary: 'store files, folders, or - for stdin',
  exits: ['notFound', 'noSpace'],
  examples: [
    ['dfs put photos', 'store a folder, as /photos'],
    ['dfs put a.png b.png /photos/', 'store two files in a directory'],
    ['tar c . | dfs put - /backup.tar', 'store what another program writes']
  ],
  declare(command) {
    command
      .usage('[options] <source...> [path]')
      .argument(
        '<source...>',
        'local files and folders, then the path to store at (default: their own names)',
        eachNonEmpty
      )
      .option('--no-clobber', 'fail rather than replace a file')
      .option('--exclude <pattern>', 'leave out what matches, as in a .gitignore (repeatable)', collect)
      .option('--dry-run', 'only say what would be stored')
      .option('-v, --verbose', 'a line for each file of a folder')
      .option('--replicas <n|all>', 'copies of each file')
      .option('--ack <n|all>', 'copies that must be durable before this returns')
    addHelpBelow(command, HELP)
  },
  async run(session: Session, given: string[], { clobber, replicas, ack, ...flags }: Flags) {
    if (replicas !== undefined) parseCopies('--replicas', replicas)
    if (ack !== undefined) parseCopies('--ack', ack)
    const rules: PutRules = { noClobber: !clobber, replicas, ack }
    const { dryRun: isDryRun = false, verbose: isVerbose = false, exclude = [] } = flags
    const ignoreRules = IgnoreRules.of(exclude)
    const { sources, path, isInto } = await putArguments(given)
    if (sources[0] === '-') {
      if (isDryRun) throw usage('--dry-run says nothing about stdin: leave it out, or name files')
      await putStdin(session, path as string, rules)
      return
    }
    const run = new PutRun({ session, rules, ignoreRules, isDryRun, isVerbose })
    if (sources.length > 1) {
      await run.put(await lookAtAll(sources, run), rootOf(path ?? '/'), true)
      return
    }
    const source = await lookAtOne(sources[0] as string)
    if (source.kind === 'directory') await run.put([source], rootOf(path ?? `/${source.name}`), isInto)
    else await putOne(session, source, { path, isInto, isDryRun, rules })
  }
}

/** Looks at the sources. One that cannot be put does not stop the others. */
async function lookAtAll(given: readonly string[], run: PutRun): Promise<Source[]> {
  const sources: Source[] = []
  for (const source of given)
    await lookAtSource(source).then(
      found => sources.push(found),
      error => run.fail(source, error)
    )
  return sources
}

async function lookAtOne(given: string): Promise<Source> {
  return lookAtSource(given).catch(error => {
    throw namedBy(given, error)
  })
}

/** Returns an error whose message begins with the file that it is about. */
function namedBy(given: string, error: unknown): CliError {
  return new CliError(codeOfAny(error), `${given}: ${reasonOf(error)}`, { cause: error })
}

interface OneOptions {
  path: string | undefined
  isInto: boolean
  isDryRun: boolean
  rules: PutRules
}

async function putOne(session: Session, source: Source, { path, isInto, isDryRun, rules }: OneOptions): Promise<void> {
  const { given, name, size } = source
  const target =
    path === undefined ? `/${name}` : isInto ? `${rootOf(path)}/${name}` : await targetOf(session, name, path)
  if (isDryRun) {
    if (session.isJson) printJson({ action: 'put', path: target, size })
    else printLine(`${target}  ${formatBytes(size)}`)
    return
  }
  const progress = new Progress('put', session.isJson, size)
  const item = { ...source, shown: given, target }
  try {
    showPut(session, await putFile({ session, rules, progress }, item))
  } catch (error) {
    // What the node says is about the path in the network.
    const isLocal = error instanceof LocalError || isOfOneFile(error)
    throw isLocal ? namedBy(given, error) : error
  }
}

async function putStdin(session: Session, path: string, rules: PutRules): Promise<void> {
  const { client, signal, isJson } = session
  const body = new Progress('put', isJson).count(process.stdin as AsyncIterable<Buffer>)
  try {
    showPut(session, await client.put(path, body, { ...rules, type: mediaTypeOf(path) }, signal))
  } finally {
    // After a failure, another program may still hold stdin open, and this program must not wait for it.
    process.stdin.destroy()
  }
}

/** Returns the path to store a file at. If there is a directory at the given path, the file is put into it. */
async function targetOf({ client }: Session, name: string, path: string): Promise<string> {
  const there = await client.call('stat', { path }).catch(error => {
    if (error instanceof CliError && error.code === 'not-found') return undefined
    throw error
  })
  return there?.kind === 'directory' ? `${path}/${name}` : path
}

/** Returns a path with a slash at its beginning and none at its end, so that the root is empty. */
function rootOf(path: string): string {
  const trimmed = path.replace(/\/+$/, '')
  return trimmed === '' || trimmed.startsWith('/') ? trimmed : `/${trimmed}`
}
