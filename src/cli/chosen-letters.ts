import type { LettersRequestDocument } from '../admin/protocol.ts'
import { UsageError } from './errors.ts'
import { placeNumber } from './place-number.ts'

const seqsMax = 1000

/** Which dead letters a command line means. @throws UsageError */
export function chosenLetters(
  words: readonly unknown[],
  flags: { readonly all?: boolean | undefined; readonly remote?: string | undefined },
): LettersRequestDocument {
  const remote = flags.remote === undefined ? {} : { remote: flags.remote }
  if ((flags.all ?? false) === words.length > 0) {
    throw new UsageError('name the places of the failed changes, or --all', {
      hint: 'comio repl failed list has the places.',
    })
  }
  if (flags.all) return { all: true, ...remote }
  if (words.length > seqsMax) {
    throw new UsageError(`at most ${seqsMax} failed changes can be named at a time`)
  }
  return { seqs: words.map((word) => placeNumber(String(word), 'a place in the feed')), ...remote }
}
