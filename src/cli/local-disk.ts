import * as fs from 'node:fs/promises'

/** What a get needs of the local file system. The tests have one that is blind to case, since not every machine does. */
export type LocalDisk = Pick<
  typeof fs,
  'link' | 'lstat' | 'mkdir' | 'open' | 'readdir' | 'realpath' | 'rename' | 'rm' | 'utimes'
>

export const localDisk: LocalDisk = fs
