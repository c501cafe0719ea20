import { Flags } from '@oclif/core'
import { BaseCommand } from '../../../src/cli/base-command.ts'
import { chosenLetters } from '../../../src/cli/chosen-letters.ts'
import { describeLetters } from '../../../src/cli/describe-replay.ts'
import { writeJson, writeResult } from '../../../src/cli/output.ts'
import { siteFlags, withClient } from '../../../src/cli/site-flags.ts'

export default class ReplFailedDiscard extends BaseCommand {
  static override summary = 'Close failed changes for good: some, or all.'

  static override description =
    'The change does not reach the remote, and is not listed any more; it stays counted as failed. The ' +
    'object here is not touched, and its next change is sent as any other.'

  static override examples = [
    '<%= config.bin %> repl failed discard 12007 12011',
    '<%= config.bin %> repl failed discard --all --remote default',
  ]

  static override usage =
    'repl failed discard (SEQ... | --all) [--remote NAME] [--json] [--url URL]'

  static override strict = false

  static override flags = {
    all: Flags.boolean({ summary: 'Close all dead letters.' }),
    remote: Flags.string({ summary: 'Only of this remote. Default: all.', helpValue: 'NAME' }),
    json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
    ...siteFlags,
  }

  async run(): Promise<void> {
    const { argv, flags } = await this.parse(ReplFailedDiscard)
    const request = chosenLetters(argv, flags)
    const answer = await withClient(flags, (client) => client.discardFailed(request))
    if (flags.json) writeJson(answer)
    else writeResult(describeLetters(answer, 'discarded: the remote does not get this'))
  }
}
