/** What `repl release` and `repl discard` share: for whom, and how the answer is printed. */
import { Args, Flags } from '@oclif/core'
import type { HeldDocument } from '../admin/protocol.ts'
import { describeDiscard, describeRelease } from './describe-held.ts'
import { writeJson, writeResult } from './output.ts'
import { type SiteFlags, siteFlags, withClient } from './site-flags.ts'

export const heldArgs = {
  remote: Args.string({ description: 'Only this remote. Default: all.' }),
}

export const heldFlags = {
  ...siteFlags,
  json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
}

const describe: Record<'release' | 'discard', (answer: HeldDocument) => string> = {
  release: describeRelease,
  discard: describeDiscard,
}

export async function decideHeld(
  verb: keyof typeof describe,
  remote: string | undefined,
  flags: SiteFlags & { readonly json: boolean },
): Promise<void> {
  const answer = await withClient(flags, (client) => client.decideHeld(verb, remote))
  if (flags.json) writeJson(answer)
  else writeResult(describe[verb](answer))
}
