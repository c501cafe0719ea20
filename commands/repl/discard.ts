import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { describeDiscard } from '../../src/cli/describe-held.ts'
import { writeJson, writeResult } from '../../src/cli/output.ts'
import { siteFlags, withClient } from '../../src/cli/site-flags.ts'

export default class ReplDiscard extends BaseCommand {
  static override summary = 'Give up the deletes that are held back from a remote.'

  static override description =
    'The remote keeps the objects; they stay deleted here, and the deletes stay counted as failed. With ' +
    'an apply delay this goes for deletes that are not old enough yet, too. Verify calls the sites ' +
    'different from then on, and its repair would send the deletes.'

  static override examples = [
    '<%= config.bin %> repl discard',
    '<%= config.bin %> repl discard site-b',
  ]

  static override args = {
    remote: Args.string({ description: 'Only this remote. Default: all.' }),
  }

  static override flags = {
    ...siteFlags,
    json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ReplDiscard)
    const answer = await withClient(flags, (client) => client.decideHeld('discard', args.remote))
    if (flags.json) writeJson(answer)
    else writeResult(describeDiscard(answer))
  }
}
