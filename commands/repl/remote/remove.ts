import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../../src/cli/base-command.ts'
import { describeRemoval } from '../../../src/cli/describe-remotes.ts'
import { writeJson, writeResult } from '../../../src/cli/output.ts'
import { siteFlags, withClient } from '../../../src/cli/site-flags.ts'

export default class ReplRemoteRemove extends BaseCommand {
  static override summary = 'Ship to a site no more.'

  static override description =
    'Works while the remote is away. Its position, its totals and its dead letters are forgotten; ' +
    'what it has stays there. Nothing that is deleted here afterwards ever reaches it, also when it ' +
    'is added again. A remote of the configuration stays removed after a restart.'

  static override examples = ['<%= config.bin %> repl remote remove site-b']

  static override args = {
    name: Args.string({ required: true, description: 'The remote.' }),
  }

  static override flags = {
    ...siteFlags,
    json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ReplRemoteRemove)
    const answer = await withClient(flags, (client) => client.removeRemote(args.name))
    if (flags.json) writeJson(answer)
    else writeResult(describeRemoval(answer))
  }
}
