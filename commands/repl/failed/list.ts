import { Flags } from '@oclif/core'
import { BaseCommand } from '../../../src/cli/base-command.ts'
import { writeJson, writeResult } from '../../../src/cli/output.ts'
import { siteFlags, withClient } from '../../../src/cli/site-flags.ts'

export default class ReplFailedList extends BaseCommand {
  static override summary = 'List what the remote refused for good, and why.'

  static override description =
    'A change becomes a dead letter when the remote refuses it for its own sake, or when it fails ' +
    'alone replication.retry_attempts times while others pass. It is kept until it is replayed or ' +
    'a newer change of the same object has arrived.'

  static override examples = [
    '<%= config.bin %> repl failed list',
    "<%= config.bin %> repl failed list --json | jq '.failed[].key'",
  ]

  static override flags = {
    ...siteFlags,
    json: Flags.boolean({ summary: 'Print the list as JSON.' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(ReplFailedList)
    const answer = await withClient(flags, (client) => client.failed())
    if (flags.json) {
      writeJson(answer)
      return
    }
    const { formatFailed } = await import('../../../src/cli/format-failed.ts')
    writeResult(formatFailed(answer.failed))
  }
}
