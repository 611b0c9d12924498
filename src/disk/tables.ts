/**
 * The tables of the index, in all rooms. A table is named by one letter, small or capital, which is the first byte of
 * each of its keys. The letters are part of the layout on disk. If you change a letter, raise the layout's number in
 * `index-marks.ts`, so that every node rebuilds its index.
 */
export const TABLES = {
  /** Addresses under which members were reached. */
  addresses: 'a',
  /** Statements that could not be projected. */
  asides: 'y',
  /** Statements that were forgotten: they are not fetched again. */
  forgotten: 'G',
  /** How many statements were signed under each grant, and their bytes. */
  signedCounts: 'J',
  /** The place of each small block. */
  blocks: 'b',
  /** The reasons for which each block is kept. */
  claims: 'c',
  /** Members with whose logs this member has compared its own since the index was last in doubt. */
  compared: 'V',
  /** The entries that a directory shows, with their sealed names. */
  children: 'd',
  /** The number of files that are not deleted. */
  counts: 'C',
  /** The state that results from the records of an entry. */
  entries: 'e',
  /** What batches changed in what the tree shows, for programs that watch it. */
  feed: 'O',
  /** Entries whose place is sealed in an epoch whose key is not here, by epoch. */
  sealedEntries: 'E',
  /** Dead rows of large blocks whose bytes are still on the disk. */
  unerased: 'I',
  /** The number of dead bytes in each segment. */
  deadBytes: 'g',
  /** The heads of an entry for which its row has no room. */
  olderHeads: 'H',
  /** What each head of an entry has seen, if the entry has several. */
  headPasts: 'P',
  /** What the records of an entry have seen. */
  seen: 'h',
  /** Accepted statements, by the sequence that this member gave them. */
  sequences: 'i',
  /** For each other member, the position up to which this member has taken its statements. */
  cursors: 'j',
  /** How many statements of each class there are, and the sum of their ids. */
  totals: 'k',
  /** The starts of this member, and the sequence at which each of them began. */
  lineages: 'l',
  /** Statements whose rows are damaged. */
  lost: 'D',
  /** The facts that the index stores about itself. */
  meta: 'm',
  /** The names that entries show under, by directory: which entry has each name, if only one does. */
  names: 'n',
  /** Directories that are in a cycle, and whether each ends it. */
  cycles: 'o',
  /** Claims of puts, by the time at which they expire. */
  expiries: 'p',
  /** Contents that the records of an entry may carry, beside those that its records wrote. */
  carriedContents: 'q',
  /** Records that wait for the record whose content they carry. */
  waitingRecords: 'Q',
  /** Every record of an entry, by stamp. */
  records: 'r',
  /** Records that carry the content of a version, beside the one that wrote it. */
  carriers: 'B',
  /** When a record of an entry that ends versions, or saves them, had first seen a stamp. */
  firstSeen: 'K',
  /** Versions and entries that changed, and at which the catalog has to look. */
  versionNews: 'W',
  /** Versions that have ended and are still kept, by the time of their end. */
  endedVersions: 'A',
  /** Entries with versions that a purge ends at a later time, by this time. */
  duePurges: 'U',
  /** The versions of an entry that lived only for a short time. */
  shortVersions: 'Y',
  /** The number of versions of an entry that are no longer kept. */
  droppedVersions: 'Z',
  /** The place of each statement. */
  statements: 's',
  /** Records for which something is still to be done, and what their last walks found missing. */
  unfinished: 't',
  /** Records that no longer need their content. They claim nothing. */
  released: 'L',
  /** Manifest nodes that claim the blocks to which they link. */
  nodes: 'M',
  /** Records and blocks that were released, and are still to be looked at: what nothing else claims is freed. */
  releases: 'F',
  /** Records with chunks here that this member does not owe. */
  surplus: 'S',
  /** The time for which the records of each author have stopped this member from freeing blocks. */
  stops: 'T',
  /** Blocks at risk: the copy here is the only one that is known. */
  atRisk: 'R',
  /** Puts whose copies other members still have to confirm. */
  hints: 'u',
  /** Evicted blocks, and the time from which this member owes them again. */
  evicted: 'v',
  /** Entries that have other entries below them but are not directories. */
  waiting: 'w',
  /** Early statements, which are stamped too far ahead, by their stamp. */
  early: 'z',
  /** Deleted directories that do not show, and their places. */
  deletedDirectories: 'x',
  /** Deleted files, and where they were. */
  deletedFiles: 'X',
  /** The newest stamp of each author. */
  newestStamps: 'N'
} as const

export type Table = (typeof TABLES)[keyof typeof TABLES]
