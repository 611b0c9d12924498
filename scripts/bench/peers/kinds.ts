import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { NodeProgram } from './node-program.ts'
import { Ours } from './ours.ts'
import type { PeerKind } from './peer.ts'
import { output } from './processes.ts'
import { YARDSTICK } from './report.ts'
import { Restic } from './restic.ts'
import { Syncthing } from './syncthing.ts'

const ROOT = join(import.meta.dirname, '../../..')
const TARBALL = '.tgz'
const NPM_PEERS = join(import.meta.dirname, '..')

export const PEER_NAMES = ['ours', 'ours-fastcdc', 'syncthing', 'restic', 'helia', YARDSTICK]

export interface Folders {
  /** For all runs. */
  folder: string
  /** For this run. */
  scratch: string
}

/**
 * Returns a peer by its name. `ours=PATH` is another dfs-node: a checkout that is built, a folder that npm installed
 * one into, or the tarball of `npm pack`.
 */
export function peerKind(name: string, folders: Folders): PeerKind {
  const [base, where = ROOT] = name.split('=', 2) as [string, string?]
  switch (base) {
    case 'ours':
      return oursKind(where, folders, [])
    case 'ours-fastcdc':
      return oursKind(where, folders, ['--chunker', 'fastcdc'])
    case 'syncthing':
      return {
        version: async () => (await installed('syncthing', '--version')).split(' ').slice(0, 2).join(' '),
        make: () => new Syncthing()
      }
    case 'restic':
      return {
        version: async () => {
          const [restic, rclone] = [await installed('restic', 'version'), await installed('rclone', 'version')]
          return `${restic.split(' ').slice(0, 2).join(' ')}, ${rclone.split('\n')[0]}`
        },
        make: () => new Restic()
      }
    case 'helia':
      return {
        version: async () => {
          const file = join(NPM_PEERS, 'node_modules/helia/package.json')
          if (!existsSync(file)) throw new Error('not installed: npm install --prefix scripts/bench')
          return `helia ${(JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version}`
        },
        make: () => new NodeProgram('helia')
      }
    case YARDSTICK:
      return { version: async () => `node ${process.versions.node}`, make: () => new NodeProgram('raw-tcp') }
    default:
      throw new Error(`no such peer: ${name}`)
  }
}

/** Copies the build first, so that one that is made while this runs changes nothing. */
function oursKind(where: string, folders: Folders, flags: readonly string[]): PeerKind {
  let root = ''
  return {
    async version() {
      root = snapshotOf(resolve(where), folders)
      const program = [process.execPath, join(root, 'dist/bin/dfs-node.js')]
      const version = (await output([...program, '--version'])).trim()
      if (flags.length > 0 && !(await output([...program, '--help'])).includes(flags[0] as string)) {
        throw new Error(`this dfs-node does not know ${flags[0]}`)
      }
      return `dfs-node ${version}${commitOf(where)}`
    },
    make: () => new Ours(root, flags)
  }
}

/** Installs the tarballs among the peers. There is no network once machines can be made, so this comes before. */
export function installTarballs(names: readonly string[], folder: string): void {
  for (const name of names) {
    const where = name.split('=')[1] ?? ''
    if (!where.endsWith(TARBALL) || !existsSync(where) || existsSync(placeOf(where, folder))) continue
    const place = placeOf(where, folder)
    mkdirSync(place, { recursive: true })
    execFileSync('npm', ['install', '--no-save', '--prefix', place, where], { stdio: ['ignore', 'ignore', 'inherit'] })
  }
}

/** Where a tarball is installed: another place once the tarball has changed. */
function placeOf(where: string, folder: string): string {
  return join(folder, 'installed', `${basename(where, TARBALL)}-${statSync(where).mtimeMs}`)
}

let snapshots = 0

function snapshotOf(where: string, { folder, scratch }: Folders): string {
  const root = join(scratch, `ours-${snapshots++}`)
  mkdirSync(root, { recursive: true })
  if (where === ROOT) execFileSync(process.execPath, [join(ROOT, 'scripts/build.ts')], { stdio: 'inherit' })
  const packaged = join(where.endsWith(TARBALL) ? placeOf(where, folder) : where, 'node_modules/dfs-node')
  if (existsSync(packaged)) return packaged
  if (!existsSync(join(where, 'dist'))) throw new Error(`no build in ${where}: npm run build`)
  cpSync(join(where, 'dist'), join(root, 'dist'), { recursive: true })
  cpSync(join(where, 'package.json'), join(root, 'package.json'))
  symlinkSync(join(where, 'node_modules'), join(root, 'node_modules'))
  return root
}

function commitOf(where: string): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', ['-C', where, ...args], { stdio: ['ignore', 'pipe', 'ignore'] })
        .toString()
        .trim()
    const isChanged = git('status', '--porcelain', '--untracked-files=no') !== ''
    return ` at ${git('rev-parse', '--short', 'HEAD')}${isChanged ? ' with changes' : ''}`
  } catch {
    return ''
  }
}

async function installed(program: string, flag: string): Promise<string> {
  try {
    return await output([program, flag])
  } catch (cause) {
    throw new Error('not installed: apt-get install syncthing restic rclone', { cause })
  }
}
