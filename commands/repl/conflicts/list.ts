import { Flags } from '@oclif/core'
import { BaseCommand } from '../../../src/cli/base-command.ts'
import { writeJson, writeResult } from '../../../src/cli/output.ts'
import { siteFlags, withClient } from '../../../src/cli/site-flags.ts'

export default class ReplConflictsList extends BaseCommand {
  static override summary = 'List writes that met without having seen each other.'

  static override description =
    'Two sites wrote one object, and neither had seen what the other wrote. All sites agree on the ' +
    'winner; each lists the conflicts that it noticed, the newest first, until they are resolved.'

  static override examples = [
    '<%= config.bin %> repl conflicts list',
    "<%= config.bin %> repl conflicts list --json | jq '.conflicts[].kept_as'",
  ]

  static override flags = {
    limit: Flags.integer({
      summary: 'How many, at most 1000.',
      helpValue: 'N',
      default: 20,
      min: 1,
      max: 1000,
    }),
    json: Flags.boolean({ summary: 'Print the list as JSON.' }),
    ...siteFlags,
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(ReplConflictsList)
    const answer = await withClient(flags, (client) => client.conflicts(flags.limit))
    if (flags.json) {
      writeJson(answer)
      return
    }
    const { formatConflicts } = await import('../../../src/cli/format-conflicts.ts')
    writeResult(formatConflicts(answer))
  }
}
