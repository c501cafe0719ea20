import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { describeRole } from '../../src/cli/describe-role.ts'
import { CommandFailedError } from '../../src/cli/errors.ts'
import { writeJson, writeResult } from '../../src/cli/output.ts'
import { siteFlags, withClient } from '../../src/cli/site-flags.ts'

export default class ReplPromote extends BaseCommand {
  static override summary = 'Make a replica the primary: clients may write there.'

  static override description =
    'First asks the other sites whether one of them is the primary, and what they have still to ' +
    'ship to this one. Where they do not answer that is unknown, and --force goes on: what the old ' +
    'primary has not shipped is merged when it is back, as a replica.'

  static override examples = [
    '<%= config.bin %> repl promote --dry-run',
    '<%= config.bin %> repl promote --url http://site-b:8080 --token-file ./token',
    '<%= config.bin %> repl promote --force',
  ]

  static override flags = {
    force: Flags.boolean({ summary: 'Also when a check speaks against it.', default: false }),
    'dry-run': Flags.boolean({ summary: 'Only look and say what would be done.', default: false }),
    json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
    ...siteFlags,
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(ReplPromote)
    const { force, 'dry-run': dry_run } = flags
    const answer = await withClient(flags, (client) =>
      client.changeRole({ role: 'primary', force, dry_run }),
    )
    if (flags.json) writeJson(answer)
    else writeResult(describeRole(answer))
    if (answer.outcome === 'refused') throw new CommandFailedError('a check speaks against it')
  }
}
