/** A small change of one source file, in which `find` must occur exactly once. */
export interface Edit {
  file: string
  find: string
  replace: string
}

/** A fault that was fixed, or that must never be made. */
export interface Plant {
  name: string
  edits: readonly Edit[]
  /** The model that must find it; by default that of whole nodes. */
  model?: 'membership' | 'history'
}

/**
 * Faults that `scripts/plant.ts` puts back, one at a time, to see in how many seeds the simulator finds each of them.
 * Each is about the smallest edit that undoes the fix.
 */
export const PLANTS: readonly Plant[] = [
  {
    name: 'verbs: a put checks what it replaces before it has the locks',
    edits: [
      {
        file: 'src/catalog/changes/link.ts',
        find: '  const [change] = await linkAll(',
        replace: '  checkTarget(await context.tree.resolve(path), options)\n  const [change] = await linkAll('
      },
      { file: 'src/catalog/changes/link.ts', find: '  checkTarget(node, target)\n', replace: '' }
    ]
  },
  {
    name: 'verbs: a change acts on what it read without locks',
    edits: [
      {
        file: 'src/catalog/changes/transaction.ts',
        find: 'return planned === undefined || !locks.wereFree(missing, since)',
        replace: 'return planned === undefined || since === undefined'
      }
    ]
  },
  {
    name: 'verbs: a move deletes the file that it moves, if that is a rival of the one it replaces',
    edits: [
      {
        file: 'src/catalog/changes/move.ts',
        find: 'if (!moved.some(({ id }) => equalBytes(id, replaced.id))) await tx.remove(replaced)',
        replace: 'await tx.remove(replaced)'
      }
    ]
  },
  {
    name: 'verbs: rm -r deletes what was moved out meanwhile',
    edits: [
      {
        file: 'src/catalog/changes/remove-tree.ts',
        find: '  if (!equalBytes(row.parent, parent)) return false\n  const way',
        replace: '  if (equalBytes(row.parent, parent) || row.parent.byteLength > 0) return true\n  const way'
      }
    ]
  },
  {
    name: 'verbs: a removed conflict version takes the content of its file along',
    edits: [
      {
        file: 'src/catalog/changes/remove.ts',
        find: '  if (isVersion(node)) {',
        replace: '  if (isVersion(node) && node.ids.length === 0) {'
      }
    ]
  },
  {
    name: 'ack: a put says yes with one copy while members that were asked may still answer',
    edits: [
      {
        file: 'src/blocks/put/yes.ts',
        find: "if (!state.isLate && (mayGain || state.ack !== undefined)) return 'wait'",
        replace: "if (!state.isLate && !(mayGain && false) && state.ack !== undefined) return 'wait'"
      }
    ]
  },
  {
    name: 'ack: no other member is asked in place of one that was lost',
    edits: [
      {
        file: 'src/blocks/put/confirming.ts',
        find: '  if (state.isShort && state.hasBlocks) replace(step)',
        replace: '  if (state.isShort && state.isLate && state.hasBlocks) replace(step)'
      }
    ]
  },
  {
    name: 'ack: the own copy counts without a look at it',
    edits: [
      {
        file: 'src/blocks/put/put-driver.ts',
        find: '      isHeld = await (this.#ports as PushPorts).isOwnWhole()\n',
        replace: '      isHeld = this.#ports !== undefined\n'
      }
    ]
  },
  {
    name: 'keep: a member acknowledges a record without the blocks that it is counted on for',
    edits: [
      {
        file: 'src/blocks/keep/keeper.ts',
        find: '    if (reason !== undefined) {\n      const text',
        replace: "    if (reason === '') {\n      const text"
      }
    ]
  },
  {
    name: 'keep: a member says kept although the pull failed',
    edits: [
      {
        file: 'src/blocks/keep/keeper.ts',
        find: "return error instanceof NoSpaceError ? 'full' : 'lacking'",
        replace: "return error instanceof NoSpaceError ? 'kept' : 'kept'"
      }
    ]
  },
  {
    // Each of the two is harmless alone: what a member has not pulled it does not confirm, and the other way round.
    name: 'keep: a member says kept although the pull failed, and confirms the record without a look',
    edits: [
      {
        file: 'src/blocks/keep/keeper.ts',
        find: "return error instanceof NoSpaceError ? 'full' : 'lacking'",
        replace: "return error instanceof NoSpaceError ? 'kept' : 'kept'"
      },
      {
        file: 'src/blocks/keep/keeper.ts',
        find: '    if (reason !== undefined) {\n      const text',
        replace: "    if (reason === '') {\n      const text"
      }
    ]
  },
  {
    name: 'disk: a start counts torn large blocks',
    edits: [
      {
        file: 'src/disk/segments.ts',
        find: '    const isWhole = verifyBlock(cidOfMultihash(payload), body)',
        replace: '    const isWhole = body.byteLength > 0 || verifyBlock(cidOfMultihash(payload), body)'
      }
    ]
  },
  {
    name: 'disk: rows count before they are synced',
    edits: [
      {
        file: 'src/disk/segment-writer.ts',
        find: '      await open.file.append(parts)\n      await open.file.sync()\n',
        replace: '      await open.file.append(parts)\n'
      }
    ]
  },
  {
    name: 'evict: two members that prove to each other at once both free their copies',
    edits: [
      {
        file: 'src/blocks/hold/holds.ts',
        find: 'order > (provenAt.get(peer) ?? -1)',
        replace: '!provenAt.has(peer)'
      }
    ]
  },
  {
    name: 'repair: a record counts as walked although blocks of it are missing',
    edits: [
      {
        file: 'src/blocks/repair/unfinished-records.ts',
        find: 'const isDone = after.dueAtMs === Number.POSITIVE_INFINITY && after.lacking === undefined',
        replace: 'const isDone = after.dueAtMs === Number.POSITIVE_INFINITY'
      }
    ]
  },
  {
    name: 'evict: copies are freed without a proof',
    edits: [
      {
        file: 'src/blocks/repair/copy-plan.ts',
        find: 'return proven.size >= wanted && hasReader ? proven : undefined',
        replace: 'return proven.size >= 0 || hasReader ? proven : undefined'
      },
      {
        file: 'src/blocks/repair/copy-plan.ts',
        find: "  if (!isEnough() || !hasReader()) return 'must-stay'",
        replace: ''
      }
    ]
  },
  {
    name: 'catalog: a delete does not beat a move that it has not seen',
    edits: [
      {
        file: 'src/catalog/heads.ts',
        find: "head.op === 'put' && !isDeletedWrite(head.written)",
        replace: "head.op === 'put' && !isDeletedWrite(head.stamp)"
      }
    ]
  },
  {
    name: 'catalog: of two heads the one that arrived last is shown',
    edits: [
      {
        file: 'src/catalog/heads.ts',
        find: '  const content = greatest(puts, (a, b) => compareStamps(a.written, b.written) || isBetter(a, b))',
        replace: '  const content = greatest(puts, (a, b) => isBetter(a, b) - isBetter(a, b))'
      }
    ]
  }
]
