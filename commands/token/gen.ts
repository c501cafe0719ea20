import { randomBytes } from 'node:crypto'
import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { writeResult } from '../../src/cli/output.ts'

export default class TokenGen extends BaseCommand {
  static override summary = 'Make a random token and print it, and nothing else.'

  static override description =
    'The default, 64 hex digits, is what openssl rand -hex 32 prints. Give it to the receiving ' +
    'site as replication.accept_tokens and to the sending one as replication.remote_token, or put ' +
    'it into auth.tokens.'

  static override examples = [
    '<%= config.bin %> token gen',
    'TOKEN=$(<%= config.bin %> token gen)',
    '<%= config.bin %> token gen --bytes 48 --format base64url > token',
  ]

  static override flags = {
    bytes: Flags.integer({
      summary: 'Random bytes, from 16 to 256.',
      default: 32,
      min: 16,
      max: 256,
      helpValue: 'N',
    }),
    format: Flags.option({
      summary: 'How they are written.',
      options: ['hex', 'base64url'] as const,
      default: 'hex' as const,
    })(),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(TokenGen)
    writeResult(randomBytes(flags.bytes).toString(flags.format))
  }
}
