/**
 * The tables of the index, in all rooms. A table is one letter, the first byte of each of its keys. The letters are part
 * of the layout on disk. To change one, raise the layout's number in `index-marks.ts`, and every node rebuilds its index.
 */
export const TABLES = {
  /** Addresses under which members were reached. */
  addresses: 'a',
  /** Where each small block is. */
  blocks: 'b',
  /** Why each block stays. */
  claims: 'c',
  /** What a directory shows. */
  children: 'd',
  /** What the records of an entry add up to. */
  entries: 'e',
  /** How many bytes of each segment nothing needs any more. */
  deadBytes: 'g',
  /** What the records of an entry have seen. */
  seen: 'h',
  /** What the index says about itself. */
  meta: 'm',
  /** Entries by directory and name, deleted directories included. */
  names: 'n',
  /** Directories that were in a cycle when one of that cycle was last moved. */
  cycles: 'o',
  /** Claims of puts, by the time at which they expire. */
  expiries: 'p',
  /** Stamps of records that are missing while others carry their content. */
  missingOrigins: 'q',
  /** Every record of an entry, by stamp. */
  records: 'r',
  /** Where each statement is. */
  statements: 's',
  /** Records whose blocks are still to be walked. */
  unwalked: 't',
  /** Puts whose copies other members still have to confirm. */
  hints: 'u',
  /** Evicted blocks, and from when this member owes them again. */
  evicted: 'v',
  /** Entries that have something below them and are not directories. */
  waiting: 'w',
  /** Deleted directories, and where they were. */
  deletedDirectories: 'x'
} as const

export type Table = (typeof TABLES)[keyof typeof TABLES]
