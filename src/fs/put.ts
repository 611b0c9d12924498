import { IsADirectoryError } from '../catalog/errors.ts'
import type { Path } from '../format/path.ts'
import { SMALL_FILE_BYTES_MAX } from './constants.ts'
import { type FsContext, resolvePutOptions } from './context.ts'
import { smallFile } from './small-file.ts'
import { peek } from './source.ts'
import type { PutOptions, PutResult, Source } from './types.ts'
import { Upload } from './upload.ts'

/**
 * Stores a file: an upload of one part. Nothing is visible before its commit; if the put fails or breaks off, its blocks
 * are freed when its claims expire. A window of blocks bounds the memory, whatever the size of the file.
 */
export async function putFile(fs: FsContext, path: Path, source: Source, options: PutOptions = {}): Promise<PutResult> {
  if (path.length === 0) throw new IsADirectoryError('this path is a directory')
  const resolved = resolvePutOptions(fs, options)
  const { whole, all } = await peek(source, SMALL_FILE_BYTES_MAX, options)
  const facts = { mtime: timeOf(fs, options), mode: options.mode, type: options.type }
  if (whole !== undefined) return fs.putSmall(smallFile(path, whole, facts), resolved)
  // Refuse a link that cannot succeed before much is stored. The link itself checks again.
  await fs.catalog.checkLink(path, options)
  const upload = new Upload(fs, resolved)
  try {
    return await upload.commit(path, facts, [await upload.append(all)])
  } finally {
    upload.close()
  }
}

function timeOf(fs: FsContext, { modified }: PutOptions): number {
  return Math.floor(modified?.getTime() ?? fs.clock.now())
}
