/** A name is close to another if at most this share of its characters has to be changed. */
const CHANGED_SHARE_MAX = 0.4

/** Returns the name that somebody probably meant, if there is one: the one that takes the fewest changes. */
export function closest(text: string, names: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestChanges = Math.max(1, Math.floor(text.length * CHANGED_SHARE_MAX))
  for (const name of names) {
    const changes = changesBetween(text, name)
    if (changes > bestChanges || (changes === bestChanges && best !== undefined)) continue
    best = name
    bestChanges = changes
  }
  // A name of which no character was typed, such as `ls` for `mv`, was not meant.
  return best !== undefined && [...text].some(character => best.includes(character)) ? best : undefined
}

/** Counts the characters to insert, remove, replace or swap with their neighbour (optimal string alignment distance). */
function changesBetween(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const at = (list: number[], index: number): number => list[index] ?? Number.POSITIVE_INFINITY
      const replaced = at(last, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const swapped = isSwap ? at(beforeLast, j - 2) + 1 : Number.POSITIVE_INFINITY
      row.push(Math.min(at(last, j) + 1, at(row, j - 1) + 1, replaced, swapped))
    }
    beforeLast = last
    last = row
  }
  return last[b.length] as number
}
