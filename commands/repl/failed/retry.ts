import { Flags } from '@oclif/core'
import { BaseCommand } from '../../../src/cli/base-command.ts'
import { chosenLetters } from '../../../src/cli/chosen-letters.ts'
import { describeLetters } from '../../../src/cli/describe-replay.ts'
import { writeJson, writeResult } from '../../../src/cli/output.ts'
import { siteFlags, withClient } from '../../../src/cli/site-flags.ts'

export default class ReplFailedRetry extends BaseCommand {
  static override summary = 'Send failed changes again: some, or all.'

  static override description =
    'A change that is sent again counts as queued again. Remove the cause first: what the remote refuses ' +
    'once more is a dead letter once more.'

  static override examples = [
    '<%= config.bin %> repl failed retry 12007 12011',
    '<%= config.bin %> repl failed retry --all --remote default',
  ]

  static override usage = 'repl failed retry (SEQ... | --all) [--remote NAME] [--json] [--url URL]'

  static override strict = false

  static override flags = {
    all: Flags.boolean({ summary: 'Send all dead letters again.' }),
    remote: Flags.string({ summary: 'Only of this remote. Default: all.', helpValue: 'NAME' }),
    json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
    ...siteFlags,
  }

  async run(): Promise<void> {
    const { argv, flags } = await this.parse(ReplFailedRetry)
    const request = chosenLetters(argv, flags)
    const answer = await withClient(flags, (client) => client.retryFailed(request))
    if (flags.json) writeJson(answer)
    else writeResult(describeLetters(answer, 'queued again; comio repl status shows how far it is'))
  }
}
