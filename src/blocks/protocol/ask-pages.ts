import { ProtocolError } from '../../wire/errors.ts'
import { Bitmap } from '../bitmap.ts'
import { PAGE_CHUNKS, WALK_BATCH } from '../constants.ts'
import type { Page, PageAnswer } from './store-messages.ts'

/**
 * Throws a `ProtocolError` if an answer covers too little of its page. Otherwise a member could keep its asker busy for
 * days with an answer about each chunk, and would never seem silent.
 */
export function assertCovered({ first, chunks }: Page, covered: number): void {
  const coveredCount = chunks.slice(0, covered).size
  const isAll = coveredCount === chunks.size && (coveredCount > 0 || covered >= restOfPage(first))
  if (coveredCount < WALK_BATCH && !isAll) throw new ProtocolError('an answer about too few chunks of a page')
}

/**
 * Asks a member about chunks of a file, one page after another, and about the rest of a page that an answer did not
 * cover. Each answer is a sign of life, so a member with many chunks is never silent for long. Returns the chunks that
 * it lacks, and all answers in the order of the file. Without `emptyToo`, pages without any chunk are skipped.
 */
export async function askPages<Answer extends PageAnswer>(
  chunks: Bitmap,
  { emptyToo }: { emptyToo: boolean },
  ask: (page: Page) => Promise<Answer>
): Promise<{ lacking: Bitmap; answers: Answer[] }> {
  const lacking = new Bitmap()
  const answers: Answer[] = []
  const count = chunks.bytes.byteLength * 8
  for (let first = 0; first < count; ) {
    const inPage = restOfPage(first)
    const page = { first, chunks: chunks.slice(first, inPage) }
    let covered = inPage
    if (emptyToo || page.chunks.size > 0) {
      const answer = await ask(page)
      covered = Math.min(answer.covered, inPage)
      lacking.setSlice(first, covered, answer.lacking.and(page.chunks))
      answers.push(answer)
    }
    first += covered
  }
  return { lacking, answers }
}

function restOfPage(first: number): number {
  return PAGE_CHUNKS - (first % PAGE_CHUNKS)
}
