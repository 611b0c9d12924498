import type { AbortOptions, Amount } from './types.ts'

/** The options and results of the verbs about space. Sizes are the bytes of sealed blocks. */

export interface GcOptions extends AbortOptions {
  /** Only say what would be freed. */
  dryRun?: boolean | undefined
}

/** What was freed here, or would be. */
export interface GcResult extends Amount {
  dryRun: boolean
  /** The same by the reason, as it was planned; only with `dryRun`. */
  plan: GcPlan | null
  /** Why the rest stays, or all of it. */
  stays: GcStay[]
  /** False if nothing is freed at the moment, because it is not certain which blocks are needed. */
  certain: boolean
  /** Manifest nodes that cannot be read here or elsewhere. They stay, with what only they need, until `fsck` is run. */
  unreadable: number
}

export interface GcStay {
  /**
   * - `uncertain`: it is not certain which blocks are needed;
   * - `incomplete`: the same, because no reachable member has all manifests of `author`;
   * - `promised`: this node may have promised copies to other members before its last stop;
   * - `unclean`: after an unclean stop there may be blocks that nothing claims, such as those of puts that it cut off;
   * - `unproven`: the members that owe these copies did not prove that they hold theirs;
   * - `puts`: puts are under way, or other members have not said that theirs are over.
   */
  reason: 'uncertain' | 'incomplete' | 'promised' | 'unclean' | 'unproven' | 'puts'
  /** When the reason ends at the latest; null if that is not known. */
  until: Date | null
  /** The name of the member whose files are incomplete. */
  author: string | null
  /** What stays for this reason; null if that was not counted. */
  amount: Amount | null
}

export interface GcPlan {
  /** Content of deleted files, and versions whose time is over. */
  released: Amount
  /** Blocks of puts that ended without a file, or that were cut off. */
  endedPuts: Amount
  /** Copies that this node does not owe. They go if the members that owe them prove that they hold theirs. */
  surplus: Amount
}

export interface FsckOptions extends AbortOptions {
  /** Also read every block here and compare it with its name. */
  readData?: boolean | undefined
}

/** What a check of the blocks here found and did. */
export interface FsckResult {
  /** The number of blocks here. */
  checked: number
  /**
   * Blocks here that are damaged, or that the disk cannot read. Without `readData`, only a block whose length has
   * changed is noticed.
   */
  corrupt: number
  /** Those of them that no file needs, such as blocks of a put that was cut off. They are freed in time. */
  unneeded: number
  /** The number of repairs: claims that were missing or not needed, and blocks that another member delivered. */
  repaired: number
  /** Blocks that this node needs, and that no member that can be reached has. At most a thousand are named. */
  lost: LostItem[]
  lostCount: number
  /** Members that store blocks and could not be asked. They may have what is lost. */
  away: string[]
  /** False if claims that look unneeded were kept, because it is not certain which blocks are needed. */
  certain: boolean
}

/** A path whose content needs a block that is lost. A block that several paths need has one item for each. */
export interface LostItem {
  /** Null if only earlier versions or deleted files need the block, or if it is not known what does. */
  path: string | null
  cid: string
  /** In the last item of a block: how many more files and versions need it, above the number that is looked up. */
  more: number
}

/** How full the members are, and what takes up the space of this one. */
export interface SpaceReport {
  members: MemberSpace[]
  here: SpaceHere
}

export interface MemberSpace {
  peerId: string
  name: string
  self: boolean
  state: 'in' | 'draining' | 'full' | 'out'
  /** The bytes that it offers; 0 if it stores no blocks. */
  capacity: number
  /** The bytes that it uses. Members do not tell each other, so this is null for all others. */
  used: number | null
}

/** The bytes on the disk of this node, each counted once, in this order. */
export interface SpaceHere {
  /** Blocks that the present files need and that this node owes. */
  live: number
  /** Blocks that only earlier versions and deleted files need. */
  versions: number
  /** Blocks that this node does not owe. They go once the members that owe them prove their copies. */
  surplus: number
  /** Blocks of puts that are under way here, or that other members have not said to be over. */
  puts: number
  /** Blocks of puts that were cut off. They are kept so that a put that is repeated finds them, or until `gc` is run. */
  cutOff: number
  /** Until when; null if there are none. */
  cutOffUntil: Date | null
  /** Blocks that nothing needs, and that are freed soon. */
  cache: number
  /** Statements, claims and the index. */
  catalog: number
  /** The bytes that this node can still take. */
  free: number
}

/** How much a file or directory takes up. */
export interface Usage {
  path: string
  files: number
  /** The bytes of all files. */
  size: number
  /** The sealed bytes of them on this node. Content that files share counts for each. Files up to 1 KiB have none. */
  here: number
  /** The bytes of earlier versions that are kept, and of the last content of deleted files. */
  versions: number
}
