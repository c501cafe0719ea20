import { hash, randomBytes } from 'node:crypto'
import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { writeNote, writeResult } from '../../src/cli/output.ts'

export default class TokenGen extends BaseCommand {
  static override summary = 'Make a random token and print it, and nothing else.'

  static override description =
    'The default, 64 hex digits, is what openssl rand -hex 32 prints. Give it to the receiving ' +
    'site as replication.accept_tokens and to the sending one as replication.remote_token, or put ' +
    'it into auth.tokens. With --hash the second line of the output is what the configuration of ' +
    'the site that accepts it may hold in its place; the labels go to standard error.'

  static override examples = [
    '<%= config.bin %> token gen',
    'TOKEN=$(<%= config.bin %> token gen)',
    '<%= config.bin %> token gen --bytes 48 --format base64url > token',
    '{ read -r TOKEN; read -r HASH; } < <(<%= config.bin %> token gen --hash)',
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
    hash: Flags.boolean({ summary: 'Print its hash, too, for the site that accepts it.' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(TokenGen)
    const token = randomBytes(flags.bytes).toString(flags.format)
    if (flags.hash) writeNote('token, for whoever shows it; then hash, for whoever accepts it:')
    writeResult(token)
    if (flags.hash) writeResult(`sha256:${hash('sha256', token, 'hex')}`)
  }
}
