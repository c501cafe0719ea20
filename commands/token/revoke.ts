import { Args, Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { writeJson, writeResult, writeWarning } from '../../src/cli/output.ts'
import { printable } from '../../src/cli/printable.ts'
import { siteFlags, withClient } from '../../src/cli/site-flags.ts'

export default class TokenRevoke extends BaseCommand {
  static override summary = 'Refuse a token from now on.'

  static override description =
    'The site refuses the token at once, without a restart, and keeps that in its volume, whatever ' +
    'its configuration says. Another token under the same name is not touched by it. Needs a token ' +
    'of the role admin.'

  static override examples = [
    '<%= config.bin %> token revoke site-a',
    '<%= config.bin %> token revoke accepted-1f0c9a3e --url https://site-b.example.com',
  ]

  static override args = {
    name: Args.string({ description: 'As token list shows it.', required: true }),
  }

  static override flags = {
    ...siteFlags,
    json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
  }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(TokenRevoke)
    const answer = await withClient(flags, (client) => client.revokeToken(args.name))
    if (flags.json) writeJson(answer)
    else writeResult(`${printable(answer.name)} is refused since ${answer.revoked_at}`)
    if (answer.admin_tokens_left === 0) {
      writeWarning('no valid token of the role admin is left: add one to the configuration')
    }
  }
}
