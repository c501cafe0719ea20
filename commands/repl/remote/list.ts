import { Flags } from '@oclif/core'
import { BaseCommand } from '../../../src/cli/base-command.ts'
import { writeJson, writeResult } from '../../../src/cli/output.ts'
import { siteFlags, withClient } from '../../../src/cli/site-flags.ts'

export default class ReplRemoteList extends BaseCommand {
  static override summary = 'List the sites that this one ships to.'

  static override description =
    'Those of the configuration and those that were added while the site ran, with their addresses ' +
    'and what they get. How far each is, comio repl status says.'

  static override examples = [
    '<%= config.bin %> repl remote list',
    "<%= config.bin %> repl remote list --json | jq '.remotes[].name'",
  ]

  static override flags = {
    ...siteFlags,
    json: Flags.boolean({ summary: 'Print the list as JSON.' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(ReplRemoteList)
    const answer = await withClient(flags, (client) => client.remotes())
    if (flags.json) {
      writeJson(answer)
      return
    }
    const { formatRemotes } = await import('../../../src/cli/format-remotes.ts')
    writeResult(formatRemotes(answer.remotes))
  }
}
