import type { PastPlace, VersionRow } from '../catalog/past/past.ts'
import type { FileNode } from '../catalog/tree-node.ts'
import { formatPath, type Path } from '../format/path.ts'
import { toHex } from '../util/bytes.ts'
import { InvalidInputError } from '../util/errors.ts'
import type { FsContext } from './context.ts'
import { writeVersion } from './restore-file.ts'
import { restoreTree } from './restore-tree.ts'
import type { RestoreOptions, RestoreResult } from './version-types.ts'
import { noVersions, resolvePast } from './versions.ts'

/**
 * Makes an earlier version of a file current, or brings back what was deleted. A restore is a new write: it goes the way
 * of a put, and the content that it replaces is a version from then on.
 */
export async function restorePath(fs: FsContext, path: Path, options: RestoreOptions = {}): Promise<RestoreResult> {
  const { past } = fs
  const place = await resolvePast(fs, path, options.signal)
  const { shown } = place
  if (options.version !== undefined || shown?.kind === 'file') {
    const name = await ownName(fs, place)
    return restoreFile(fs, { ...place, name }, await versionToRestore(fs, { place, name }, options), options)
  }
  if (shown?.kind === 'directory') {
    const id = await past.removed.lastAt(place, shown.ids)
    if (id !== undefined) return restoreTree(fs, place, id, options)
    throw new InvalidInputError('this directory was not removed: see what was removed from it with "dfs ls --deleted"')
  }
  for await (const { id, kind } of past.tree.deletedAt(place)) {
    if (kind === 'directory') return restoreTree(fs, place, (await past.removed.lastAt(place)) ?? id, options)
    const row = await past.versions.latestOf(id)
    if (row !== undefined) return restoreFile(fs, place, row, options)
  }
  throw await noVersions(fs, place)
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
  return { path: formatPath(path), kind, restored: toHex(row.id), version, files: 1, directories: 0, left: 0 }
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
  { past: { versions } }: FsContext,
  { place, name }: { place: PastPlace; name: string },
  { version }: RestoreOptions
): Promise<VersionRow> {
  if (version !== undefined) return versions.find(place, version)
  const node = place.shown as FileNode
  const row = name === place.name ? await versions.other(place, node) : await versions.shownBy(node)
  if (row !== undefined) return row
  throw new InvalidInputError('this file has no other version: see those it has with "dfs versions"')
}
