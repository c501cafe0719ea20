import { BaseCommand } from '../../src/cli/base-command.ts'
import { decideHeld, heldArgs, heldFlags } from '../../src/cli/decide-held.ts'

export default class ReplDiscard extends BaseCommand {
  static override summary = 'Give up the deletes that are held back from a remote.'

  static override description =
    'The remote keeps the objects; they stay deleted here, and the deletes stay counted as failed. With ' +
    'an apply delay this goes for deletes that are not old enough yet, too. Verify calls the sites ' +
    'different from then on, and its repair would send the deletes.'

  static override examples = [
    '<%= config.bin %> repl discard',
    '<%= config.bin %> repl discard site-b',
  ]

  static override args = heldArgs

  static override flags = heldFlags

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ReplDiscard)
    await decideHeld('discard', args.remote, flags)
  }
}
