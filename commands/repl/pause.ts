import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { chosenRemote } from '../../src/cli/chosen-remote.ts'
import { describeRemote } from '../../src/cli/describe-remotes.ts'
import { writeJson, writeResult } from '../../src/cli/output.ts'
import { siteFlags, withClient } from '../../src/cli/site-flags.ts'

export default class ReplPause extends BaseCommand {
  static override summary = 'Send nothing to a remote until it is resumed.'

  static override description =
    'Takes effect at once and is kept over restarts. What is written meanwhile waits in the log, ' +
    'however long it takes; nothing is lost.'

  static override examples = ['<%= config.bin %> repl pause', '<%= config.bin %> repl pause site-b']

  static override args = {
    name: Args.string({ description: 'The remote. Not needed where there is one.' }),
  }

  static override flags = {
    ...siteFlags,
    json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ReplPause)
    const answer = await withClient(flags, async (client) =>
      client.switchRemote(await chosenRemote(client, args.name), 'pause'),
    )
    if (flags.json) writeJson(answer)
    else writeResult(describeRemote(answer, 'is paused'))
  }
}
