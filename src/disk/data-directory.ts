import { chmod, mkdir } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import { fromHex, toHex, utf8 } from '../util/bytes.ts'
import type { Chance } from '../util/chance.ts'
import { asDiskError, FileMissingError, UnknownLayoutError } from './errors.ts'
import { type Files, replaceFile } from './files.ts'
import { NodeFiles } from './node-files.ts'

const NAME = 'format.json'
const LAYOUT = 1
const STORE_ID_BYTES = 16
const DIRECTORY_MODE = 0o700

const layoutSchema = z.object({ layout: z.number().int() })
const formatSchema = z.strictObject({ layout: z.literal(LAYOUT), storeId: z.string().regex(/^[0-9a-f]{32}$/) })

/**
 * Makes a data directory if it is missing, durably, and readable by its owner alone even if it was made by somebody else.
 */
export async function makeDataDirectory(root: string): Promise<void> {
  try {
    const first = await mkdir(root, { recursive: true, mode: DIRECTORY_MODE })
    await chmod(root, DIRECTORY_MODE)
    if (first === undefined) return
    // What is synced inside is worth nothing while the name of the directory itself may still be lost.
    for (let made = resolve(root); ; made = dirname(made)) {
      await new NodeFiles(dirname(made)).syncDirectory('')
      if (made === resolve(first) || made === dirname(made)) return
    }
  } catch (error) {
    throw asDiskError(error)
  }
}

/**
 * Reads the format file of a data directory, or writes one into an empty directory. It names the layout, so that a
 * later version can tell what it found, and the store id that index and segments must share. `isNew` if it was written
 * now: in any other directory what is not there has been lost.
 */
export async function openFormat(files: Files, chance: Chance): Promise<{ storeId: Uint8Array; isNew: boolean }> {
  await files.makeDirectory('')
  let text: Uint8Array
  try {
    text = await files.read(NAME)
  } catch (error) {
    if (!(error instanceof FileMissingError)) throw error
    if ((await files.list('segments')).length > 0)
      throw new UnknownLayoutError('the data directory has lost its format file')
    const storeId = chance.bytes(STORE_ID_BYTES)
    await replaceFile(files, NAME, utf8(`${JSON.stringify({ layout: LAYOUT, storeId: toHex(storeId) })}\n`))
    return { storeId, isNew: true }
  }
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(text).toString('utf8'))
  } catch (cause) {
    throw new UnknownLayoutError('the format file of the data directory is damaged', { cause })
  }
  const { data } = layoutSchema.safeParse(value)
  if (data !== undefined && data.layout !== LAYOUT) {
    throw new UnknownLayoutError(
      `the data directory has layout ${data.layout}, this version knows ${LAYOUT}: upgrade dfs-node`
    )
  }
  const parsed = formatSchema.safeParse(value)
  if (!parsed.success) throw new UnknownLayoutError('the format file of the data directory is damaged')
  return { storeId: fromHex(parsed.data.storeId), isNew: false }
}
