import { BaseCommand } from '../../src/cli/base-command.ts'
import { changeRole, roleFlags } from '../../src/cli/change-role.ts'

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

  static override flags = roleFlags

  async run(): Promise<void> {
    const { flags } = await this.parse(ReplPromote)
    await changeRole('primary', flags)
  }
}
