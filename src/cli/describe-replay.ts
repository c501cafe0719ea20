import type { ReplayDocument } from '../admin/protocol.ts'
import { formatByteSize } from '../base/byte-size.ts'
import { countOf } from './printable.ts'

/** What a replay did, or would do, in one line. */
export function describeReplay(
  answer: ReplayDocument,
  options: { readonly dryRun: boolean },
): string {
  if (answer.count === 0) return 'there is nothing to send again'
  const what = `${countOf(answer.count, 'change')}, ${formatByteSize(answer.bytes)},`
  return options.dryRun
    ? `${what} would be sent again; nothing was done (--dry-run)`
    : `${what} queued again; comio repl status shows how far it is`
}
