import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { describeRelease } from '../../src/cli/describe-held.ts'
import { writeJson, writeResult } from '../../src/cli/output.ts'
import { siteFlags, withClient } from '../../src/cli/site-flags.ts'

export default class ReplRelease extends BaseCommand {
  static override summary = 'Send what is held back from a remote.'

  static override description =
    'Deletes and purges that are held since a limit was reached go out, and the count begins anew. With ' +
    'an apply delay, what is there now goes at once, however young it is.'

  static override examples = [
    '<%= config.bin %> repl release',
    '<%= config.bin %> repl release site-b',
  ]

  static override args = {
    remote: Args.string({ description: 'Only this remote. Default: all.' }),
  }

  static override flags = {
    ...siteFlags,
    json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ReplRelease)
    const answer = await withClient(flags, (client) => client.decideHeld('release', args.remote))
    if (flags.json) writeJson(answer)
    else writeResult(describeRelease(answer))
  }
}
