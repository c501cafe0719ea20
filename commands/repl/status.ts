import { Flags } from '@oclif/core'
import { parseDuration } from '../../src/base/duration.ts'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { UsageError } from '../../src/cli/errors.ts'
import { writeResult } from '../../src/cli/output.ts'
import { siteFlags, withClient } from '../../src/cli/site-flags.ts'
import { withStopSignal } from '../../src/cli/stop-signals.ts'

export default class ReplStatus extends BaseCommand {
  static override summary = 'Show what has arrived at the other site and what has not.'

  static override description =
    'Totals of this site since its volume was made, then one block per remote: its state, what is ' +
    'pending, how fast it goes and how far behind the other site is.'

  static override examples = [
    '<%= config.bin %> repl status',
    '<%= config.bin %> repl status --watch',
    '<%= config.bin %> repl status --url http://site-a:8080 --token-file ./token',
    '<%= config.bin %> repl status --json | jq .pending',
  ]

  static override flags = {
    ...siteFlags,
    json: Flags.boolean({ summary: "Print the site's document as it is.", exclusive: ['watch'] }),
    watch: Flags.boolean({ summary: 'Keep the screen up to date until q or Ctrl-C.' }),
    interval: Flags.string({
      summary: 'Time between two looks.',
      default: '1s',
      helpValue: 'TIME',
    }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(ReplStatus)
    const intervalMs = parseDuration(flags.interval)
    if (intervalMs === undefined || intervalMs < 100 || intervalMs > 3_600_000) {
      throw new UsageError('--interval must be a duration from 100ms to 1h, such as 2s')
    }
    await withClient(flags, async (client, { url }) => {
      if (flags.watch) {
        const { watchStatus } = await import('../../src/tui/watch-status.ts')
        const { stdin, stdout } = process
        await withStopSignal((signal) =>
          watchStatus({ client, url, intervalMs, stdin, stdout, signal }),
        )
      } else if (flags.json) {
        writeResult(await client.statusText())
      } else {
        const { formatStatus } = await import('../../src/cli/format-status.ts')
        writeResult(formatStatus(await client.status(), Date.now()))
      }
    })
  }
}
