import { BaseCommand } from '../../src/cli/base-command.ts'
import { decideHeld, heldArgs, heldFlags } from '../../src/cli/decide-held.ts'

export default class ReplRelease extends BaseCommand {
  static override summary = 'Send what is held back from a remote.'

  static override description =
    'Deletes and purges that are held since a limit was reached go out, and the count begins anew. With ' +
    'an apply delay, what is there now goes at once, however young it is.'

  static override examples = [
    '<%= config.bin %> repl release',
    '<%= config.bin %> repl release site-b',
  ]

  static override args = heldArgs

  static override flags = heldFlags

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ReplRelease)
    await decideHeld('release', args.remote, flags)
  }
}
