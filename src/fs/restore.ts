import { ExistsError } from '../catalog/errors.ts'
import type { PastPlace, VersionRow } from '../catalog/past/past.ts'
import type { FileNode } from '../catalog/tree-node.ts'
import { formatPath, type Path } from '../format/path.ts'
import { toHex } from '../util/bytes.ts'
import { InvalidInputError } from '../util/errors.ts'
import { reporting } from '../util/reporting.ts'
import { REPORT_MS } from './constants.ts'
import type { FsContext } from './context.ts'
import { FilesOnTheWay } from './files-on-the-way.ts'
import { writeVersion } from './restore-file.ts'
import { type RestoreTreeOptions, restoreBelow, restoreTree } from './restore-tree.ts'
import type { RestoreOptions, RestoreResult } from './version-types.ts'
import { noVersions, resolvePast } from './versions.ts'

/**
 * Makes an earlier version of a file current, or brings back what was deleted. A restore is a new write: it goes the way
 * of a put, and the content that it replaces is a version from then on.
 */
export async function restorePath(
  fs: FsContext,
  path: Path,
  options: RestoreOptions & RestoreTreeOptions = {}
): Promise<RestoreResult> {
  const { past } = fs
  const place = await resolvePast(fs, path, options.signal)
  const { shown } = place
  if (shown === undefined) await new FilesOnTheWay(fs.tree).assertNone(path.slice(0, -1))
  if (options.version !== undefined || shown?.kind === 'file') {
    const name = await ownName(fs, place)
    const row = await versionToRestore(fs, { place, name }, options)
    if (shown?.kind === 'directory') throw new ExistsError(DIRECTORY_IN_THE_WAY)
    return restoreFile(fs, { ...place, name }, row, options)
  }
  if (shown?.kind === 'directory') {
    const id = await past.removed.lastAt(place, shown.ids)
    if (id !== undefined) return restoreTree(fs, place, id, options)
    if (await wasThere(fs, place, 'file')) throw new ExistsError(DIRECTORY_IN_THE_WAY)
    const restored = await restoreBelow(fs, place, options)
    if (restored !== undefined) return restored
    throw new InvalidInputError(
      'this directory was not removed, and no "rm -r" took anything in it: "dfs ls --deleted -R" lists the single paths that can be restored'
    )
  }
  for await (const { id, kind } of past.tree.deletedAt(place)) {
    if (kind === 'directory') return restoreTree(fs, place, (await past.removed.lastAt(place)) ?? id, options)
    const row = await past.versions.latestOf(id)
    if (row !== undefined) return restoreFile(fs, place, row, options)
  }
  throw await noVersions(fs, place)
}

/**
 * Restores a file or directory like `restorePath`. For a directory it yields from time to time what has been restored
 * so far. The last item is the result. A caller that takes no more ends the restore.
 */
export function restoringPath(
  fs: FsContext,
  path: Path,
  { signal: given, ...options }: RestoreOptions = {}
): AsyncGenerator<RestoreResult> {
  const reports = { clock: fs.clock, everyMs: REPORT_MS, signal: given }
  return reporting<RestoreResult>(reports, (onProgress, signal) =>
    restorePath(fs, path, { ...options, signal, onProgress })
  )
}

const DIRECTORY_IN_THE_WAY =
  'a directory has the name of this removed file now: move it away first (dfs mv), then restore the file'
const FILE_IN_THE_WAY =
  'this file has no other version, but a removed directory had its name: to restore that one, move the file away first (dfs mv)'

/** Returns true if something of this kind was removed from a path, and can be restored. */
async function wasThere({ past }: FsContext, place: PastPlace, kind: 'file' | 'directory'): Promise<boolean> {
  for await (const deleted of past.tree.deletedAt(place))
    if (deleted.kind === kind && (kind === 'directory' || (await past.versions.lastOf(deleted.id)) !== undefined))
      return true
  return false
}

async function restoreFile(
  fs: FsContext,
  { parent, name, shown }: PastPlace,
  row: VersionRow,
  options: RestoreOptions
): Promise<RestoreResult> {
  const path = [...parent.path, name]
  const deleted = shown === undefined ? { id: row.file, parent, name } : undefined
  const { version } = await writeVersion(fs, path, row, { signal: options.signal, deleted })
  const kind = 'file' as const
  return { path: formatPath(path), kind, restored: toHex(row.id), version, files: 1, directories: 0, left: 0, gone: 0 }
}

/** Returns the name of the file that a path shows: a conflict shows under another name than its own. */
async function ownName({ tree }: Pick<FsContext, 'tree'>, { name, shown }: PastPlace): Promise<string> {
  return shown?.kind === 'file' && shown.nameHash !== undefined ? ((await tree.nameOf(shown.id)) ?? name) : name
}

/**
 * Returns the version that the caller named. If there is none, it is the latest whose content is not the current one. If
 * the path is that of a conflict, it is the content that shows there.
 */
async function versionToRestore(
  fs: FsContext,
  { place, name }: { place: PastPlace; name: string },
  { version }: RestoreOptions
): Promise<VersionRow> {
  const { versions } = fs.past
  if (version !== undefined) return versions.find(place, version)
  const node = place.shown as FileNode
  const row = name === place.name ? await versions.other(place, node) : await versions.shownBy(node)
  if (row !== undefined) return row
  if (await wasThere(fs, place, 'directory')) throw new ExistsError(FILE_IN_THE_WAY)
  throw new InvalidInputError('this file has no other version: see those it has with "dfs versions"')
}
