import { ENTRY_ID_BYTES } from '../../format/entry.ts'
import type { Path } from '../../format/path.ts'
import type { Change, Records } from '../change.ts'
import { NotADirectoryError } from '../errors.ts'
import { type ChangeContext, findDirectory, placementIn } from './context.ts'

/** Makes a directory and any missing directories above it. */
export async function mkdir(context: ChangeContext, path: Path, replicas: number): Promise<Change> {
  return { path, statements: await ensureDirectory(context, path, replicas) }
}

/**
 * Makes the directory at a path, and those above it, unless they exist. Returns the records that it signed. By the time
 * this resolves, another change may already have removed one of the directories again.
 */
export async function ensureDirectory(context: ChangeContext, path: Path, replicas: number): Promise<Records> {
  const { tree, author, chance, clock, locks, append } = context
  const found = await tree.resolve(path)
  if (found?.kind === 'directory') return []
  if (found !== undefined) throw new NotADirectoryError('a file is where a directory should be')
  const statements = await ensureDirectory(context, path.slice(0, -1), replicas)
  await locks.paths([path], async () => {
    if ((await tree.resolve(path)) !== undefined) return
    const parent = await findDirectory(context, path.slice(0, -1))
    if (parent === undefined) return
    const at = placementIn(parent, path)
    const record = author.createDirectory(chance.bytes(ENTRY_ID_BYTES), at, Math.floor(clock.now()), replicas)
    statements.push(...(await append([record])))
  })
  return statements
}
