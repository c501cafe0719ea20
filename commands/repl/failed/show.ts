import { Flags } from '@oclif/core'
import { BaseCommand } from '../../../src/cli/base-command.ts'
import { writeJson, writeResult } from '../../../src/cli/output.ts'
import { numberArg } from '../../../src/cli/place-number.ts'
import { siteFlags, withClient } from '../../../src/cli/site-flags.ts'

export default class ReplFailedShow extends BaseCommand {
  static override summary = 'Show everything about one failed change, and what helps.'

  static override description =
    'What was refused and when, the reason and what it means, its version and size, and the object ' +
    'as it is here now, and as the remote says it is there. SEQ is its place in the feed, as comio repl failed list has it.'

  static override examples = [
    '<%= config.bin %> repl failed show 12007',
    '<%= config.bin %> repl failed show 12007 --remote default --json',
  ]

  static override args = {
    seq: numberArg('Place in the feed.', 'a place in the feed'),
  }

  static override flags = {
    remote: Flags.string({ summary: 'Only of this remote. Default: all.', helpValue: 'NAME' }),
    json: Flags.boolean({ summary: 'Print it as JSON.' }),
    ...siteFlags,
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ReplFailedShow)
    const answer = await withClient(flags, (client) => client.failedAt(args.seq, flags.remote))
    if (flags.json) {
      writeJson(answer)
      return
    }
    const { formatFailedDetails } = await import('../../../src/cli/format-failed-detail.ts')
    writeResult(formatFailedDetails(answer.failed))
  }
}
