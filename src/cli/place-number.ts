import { Args } from '@oclif/core'
import { UsageError } from './errors.ts'

/** What the control plane takes: 15 digits stay exact in every reader of JSON. */
const numberPattern = /^[1-9]\d{0,14}$/

/**
 * A number from a list, as an argument. oclif's own `Args.integer` takes `1e3` and reports what is out of
 * bounds as if the program were at fault.
 */
export function numberArg(description: string, where: string) {
  return Args.custom<number>({ parse: async (word) => placeNumber(word, where) })({
    description,
    required: true,
  })
}

/** @throws UsageError */
export function placeNumber(word: string, where: string): number {
  if (numberPattern.test(word)) return Number(word)
  throw new UsageError(
    `${JSON.stringify(word)} is no number of ${where}: a whole number from 1 on, of at most 15 digits, is one`,
  )
}
