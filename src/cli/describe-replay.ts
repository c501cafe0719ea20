import type { LettersDocument, ReplayDocument } from '../admin/protocol.ts'
import { formatByteSize } from '../base/byte-size.ts'
import { countOf } from '../base/format-count.ts'

/** What a replay did, or would do, in one line. */
export function describeReplay(
  answer: ReplayDocument,
  options: { readonly dryRun: boolean; readonly waited?: boolean },
): string {
  if (answer.count === 0) return 'there is nothing to send again'
  if (options.dryRun) {
    return describeLetters(answer, 'would be sent again; nothing was done (--dry-run)')
  }
  if (options.waited) return describeLetters(answer, 'sent again')
  return describeLetters(answer, 'queued again; comio repl status shows how far it is')
}

export function describeLetters({ count, bytes }: LettersDocument, what: string): string {
  if (count === 0) return 'there is no failed change'
  return `${countOf(count, 'change')}, ${formatByteSize(bytes)}, ${what}`
}
