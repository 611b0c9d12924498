import { createHash } from 'node:crypto'
import { basename, dirname, extname, join } from 'node:path'
import type { LocalDisk } from './local-disk.ts'

/**
 * Answers which names a local folder really has. Some disks treat `README` and `readme`, or the composed and the
 * decomposed form of a letter, as one name, so the item that is found under a name may have another one.
 */
export class FolderNames {
  readonly #disk: LocalDisk
  /** The names in the folder that was last read, in NFC. A whole folder is fetched before the next, so one is enough. */
  #read: { folder: string; names: Set<string> } | undefined

  constructor(disk: LocalDisk) {
    this.#disk = disk
  }

  /** Returns true if the item at a path has exactly this name, or if it is gone. */
  async isExact(path: string): Promise<boolean> {
    // Reading a whole folder takes long. It is needed only if the disk finds the same thing under another spelling.
    const name = basename(path)
    const other = otherCase(name)
    // Names from the network are in NFC, so two of them never differ in their form alone.
    if (other === name) return true
    const [found, again] = await Promise.all([this.#idOf(path), this.#idOf(join(dirname(path), other))])
    if (found === undefined || found !== again) return true
    return (await this.#namesIn(dirname(path))).has(name.normalize('NFC'))
  }

  /** Notes a name that was made in a folder. */
  add(path: string): void {
    if (this.#read?.folder === dirname(path)) this.#read.names.add(basename(path).normalize('NFC'))
  }

  async #namesIn(folder: string): Promise<Set<string>> {
    if (this.#read?.folder !== folder) {
      const names = await this.#disk.readdir(folder)
      this.#read = { folder, names: new Set(names.map(name => name.normalize('NFC'))) }
    }
    return this.#read.names
  }

  async #idOf(path: string): Promise<string | undefined> {
    try {
      const { dev, ino } = await this.#disk.lstat(path)
      return `${dev}:${ino}`
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }
}

/** Returns a different name for an item whose name the disk cannot tell from that of another. */
export function ownName(path: string): string {
  const name = basename(path)
  const end = extname(name)
  // An item always gets the same one, so that a repeated get finds it.
  const tag = createHash('sha256').update(name).digest('hex').slice(0, 8)
  return join(dirname(path), `${name.slice(0, name.length - end.length)} (case ${tag})${end}`)
}

/** Returns a name with its letters in the other case; only the ASCII letters if it has any. */
function otherCase(name: string): string {
  const letters = /[a-z]/i.test(name) ? /[a-z]/gi : /\p{L}/gu
  return name.replaceAll(letters, letter => {
    const lower = letter.toLowerCase()
    return lower === letter ? letter.toUpperCase() : lower
  })
}
