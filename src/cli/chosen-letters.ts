import type { LettersRequestDocument } from '../admin/protocol.ts'
import { UsageError } from './errors.ts'

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
  return { seqs: words.map(seqOf), ...remote }
}

function seqOf(word: unknown): number {
  const text = String(word)
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
  throw new UsageError(`${JSON.stringify(text)} is no place in the feed: a whole number is one`)
}
