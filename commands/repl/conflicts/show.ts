import { Flags } from '@oclif/core'
import { BaseCommand } from '../../../src/cli/base-command.ts'
import { writeJson, writeResult } from '../../../src/cli/output.ts'
import { numberArg } from '../../../src/cli/place-number.ts'
import { siteFlags, withClient } from '../../../src/cli/site-flags.ts'

export default class ReplConflictsShow extends BaseCommand {
  static override summary = 'Show one conflict: who wrote what, and when.'

  static override description =
    'Both sides with site, time, size and ETag, and where the object of the loser is kept.'

  static override examples = ['<%= config.bin %> repl conflicts show 3']

  static override args = {
    id: numberArg('Number in the list.', 'a conflict'),
  }

  static override flags = {
    json: Flags.boolean({ summary: 'Print it as JSON.' }),
    ...siteFlags,
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ReplConflictsShow)
    const answer = await withClient(flags, (client) => client.conflict(args.id))
    if (flags.json) {
      writeJson(answer)
      return
    }
    const { formatConflict } = await import('../../../src/cli/format-conflicts.ts')
    writeResult(formatConflict(answer))
  }
}
