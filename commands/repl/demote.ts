import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { describeRole } from '../../src/cli/describe-role.ts'
import { CommandFailedError } from '../../src/cli/errors.ts'
import { writeJson, writeResult } from '../../src/cli/output.ts'
import { siteFlags, withClient } from '../../src/cli/site-flags.ts'

export default class ReplDemote extends BaseCommand {
  static override summary = 'Make a primary a replica: it refuses the writes of clients.'

  static override description =
    'Stops the writes of clients, waits until everything has arrived at the other sites, and then ' +
    'changes the role. If that takes more than ten seconds, the site stays the primary.'

  static override examples = [
    '<%= config.bin %> repl demote --dry-run',
    '<%= config.bin %> repl demote --url http://site-a:8080 --token-file ./token',
    '<%= config.bin %> repl demote --force',
  ]

  static override flags = {
    force: Flags.boolean({ summary: 'Also when a check speaks against it.', default: false }),
    'dry-run': Flags.boolean({ summary: 'Only look and say what would be done.', default: false }),
    json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
    ...siteFlags,
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(ReplDemote)
    const { force, 'dry-run': dry_run } = flags
    const answer = await withClient(flags, (client) =>
      client.changeRole({ role: 'replica', force, dry_run }),
    )
    if (flags.json) writeJson(answer)
    else writeResult(describeRole(answer))
    if (answer.outcome === 'refused') throw new CommandFailedError('a check speaks against it')
  }
}
