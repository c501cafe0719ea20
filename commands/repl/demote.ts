import { BaseCommand } from '../../src/cli/base-command.ts'
import { changeRole, roleFlags } from '../../src/cli/change-role.ts'

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

  static override flags = roleFlags

  async run(): Promise<void> {
    const { flags } = await this.parse(ReplDemote)
    await changeRole('replica', flags)
  }
}
