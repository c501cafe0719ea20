import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { chosenRemote } from '../../src/cli/chosen-remote.ts'
import { describeRemote } from '../../src/cli/describe-remotes.ts'
import { writeJson, writeResult } from '../../src/cli/output.ts'
import { siteFlags, withClient } from '../../src/cli/site-flags.ts'

export default class ReplResume extends BaseCommand {
  static override summary = 'Send to a paused remote again.'

  static override description =
    'It goes on where it stopped, with everything that was written meanwhile.'

  static override examples = [
    '<%= config.bin %> repl resume',
    '<%= config.bin %> repl resume site-b',
  ]

  static override args = {
    name: Args.string({ description: 'The remote. Not needed where there is one.' }),
  }

  static override flags = {
    ...siteFlags,
    json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ReplResume)
    const answer = await withClient(flags, async (client) =>
      client.switchRemote(await chosenRemote(client, args.name), 'resume'),
    )
    if (flags.json) writeJson(answer)
    else writeResult(describeRemote(answer, 'is resumed'))
  }
}
