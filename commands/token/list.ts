import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { writeJson, writeResult } from '../../src/cli/output.ts'
import { siteFlags, withClient } from '../../src/cli/site-flags.ts'

export default class TokenList extends BaseCommand {
  static override summary = 'List the tokens that a site accepts, by name.'

  static override description =
    'Names, roles, where each stands in the configuration, when it expires and when it was last ' +
    'used since the site was started; never the token. Needs a token of the role admin.'

  static override examples = [
    '<%= config.bin %> token list',
    '<%= config.bin %> token list --json | jq -r \'.tokens[] | select(.state == "expired").name\'',
  ]

  static override flags = {
    ...siteFlags,
    json: Flags.boolean({ summary: 'Print the list as JSON.' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(TokenList)
    const answer = await withClient(flags, (client) => client.tokens())
    if (flags.json) {
      writeJson(answer)
      return
    }
    const { formatTokens } = await import('../../src/cli/format-tokens.ts')
    writeResult(formatTokens(answer.tokens))
  }
}
