import { Flags } from '@oclif/core'
import { BaseCommand } from '../../src/cli/base-command.ts'
import { describeReplay } from '../../src/cli/describe-replay.ts'
import { writeJson, writeResult } from '../../src/cli/output.ts'
import { siteFlags, withClient } from '../../src/cli/site-flags.ts'

export default class ReplReplay extends BaseCommand {
  static override summary = 'Send changes to the other site again.'

  static override description =
    'Sending again is safe: a change takes effect once, however often it arrives, and an older one ' +
    'never replaces a newer one. A replayed dead letter counts as queued again.'

  static override examples = [
    '<%= config.bin %> repl replay --failed',
    '<%= config.bin %> repl replay --all --dry-run',
    '<%= config.bin %> repl replay --from 12000 --remote default',
  ]

  static override usage =
    'repl replay (--failed | --from SEQ | --all) [--remote NAME] [--dry-run] [--json] [--url URL]'

  static override flags = {
    failed: Flags.boolean({
      summary: 'Send the dead letters: what the remote refused for good.',
      exactlyOne: ['failed', 'from', 'all'],
    }),
    from: Flags.integer({
      summary: 'Send every change from this place in the feed on.',
      helpValue: 'SEQ',
      min: 0,
    }),
    all: Flags.boolean({ summary: 'Send every change there is.' }),
    remote: Flags.string({ summary: 'Only to this remote. Default: all.', helpValue: 'NAME' }),
    'dry-run': Flags.boolean({ summary: 'Only count what would be sent.', default: false }),
    json: Flags.boolean({ summary: 'Print the answer as JSON.' }),
    ...siteFlags,
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(ReplReplay)
    const answer = await withClient(flags, (client) =>
      client.replay({
        ...(flags.failed ? { failed: true } : {}),
        ...(flags.from === undefined ? {} : { from: flags.from }),
        ...(flags.all ? { all: true } : {}),
        ...(flags.remote === undefined ? {} : { remote: flags.remote }),
        dry_run: flags['dry-run'],
      }),
    )
    if (flags.json) writeJson(answer)
    else writeResult(describeReplay(answer, { dryRun: flags['dry-run'] }))
  }
}
